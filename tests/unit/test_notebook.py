"""The notebook of the library: it runs, and gives what it was saved with, but for what maps made anew differ in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
MOST_BYTES = 100_000


def told(cell: Any) -> list[str]:
    """What a cell gives as text; a picture as the name of its type, since its bytes depend on fonts."""
    texts = []
    for output in cell.get("outputs", []):
        assert output["output_type"] != "error"
        data = output.get("data", {})
        is_picture = any(kind.startswith("image/") for kind in data)
        texts.append("picture" if is_picture else _without_numbers(output.get("text") or data["text/plain"]))
    return texts


def _without_numbers(text: str) -> str:
    """Another processor rounds otherwise, and `make figures` makes the maps again: words, and where numbers stand."""
    return re.sub(r"\s+", " ", re.sub(r"-?[\d,]*\.?\d+(e-?\d+)?", "#", text))


def test_the_notebook_runs_on_tracked_files_and_gives_what_it_was_saved_with() -> None:
    saved, again = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    NotebookClient(
        again, timeout=600, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    ).execute()
    codes = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert all(told(cell) for cell in codes)
    assert [told(cell) for cell in again.cells] == [told(cell) for cell in saved.cells]
    assert sum(text == "picture" for cell in codes for text in told(cell)) == 1
    assert NOTEBOOK.stat().st_size < MOST_BYTES
