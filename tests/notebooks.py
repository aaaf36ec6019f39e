"""Notebooks that are run again, and held to the outputs that they were saved with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[1] / "docs"


def told(cell: Any) -> list[str]:
    """What a cell gives as text; a picture as the name of its type, since its bytes depend on fonts."""
    texts = []
    for output in cell.get("outputs", []):
        assert output["output_type"] != "error"
        if output.get("name") == "stderr":  # Libraries warn of what a machine lacks.
            continue
        data = output.get("data", {})
        is_picture = any(kind.startswith("image/") for kind in data)
        texts.append("picture" if is_picture else output.get("text") or data["text/plain"])
    return texts


def saved_and_again(name: str) -> tuple[list[list[str]], list[list[str]]]:
    """What the cells of code of a notebook give, as it was saved, and as it runs now."""
    saved, again = (nbformat.read(DOCS / name, as_version=4) for _ in range(2))
    # A kernel sends what is printed in pieces, as its timer has it: those of one stream are put together.
    folder = {"metadata": {"path": DOCS}}
    NotebookClient(again, timeout=600, kernel_name="python3", resources=folder, coalesce_streams=True).execute()
    before, now = ([told(cell) for cell in each.cells if cell.cell_type == "code"] for each in (saved, again))
    return before, now


def kinds(cells: list[list[str]]) -> list[list[bool]]:
    """Of everything that cells give whether it is a picture."""
    return [[text == "picture" for text in texts] for texts in cells]
