"""The notebook of the library: it runs on the maps that are there, and every cell gives what kind of thing it gave."""

from __future__ import annotations

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
        texts.append("picture" if is_picture else output.get("text") or data["text/plain"])
    return texts


def test_the_notebook_runs_on_tracked_files_and_gives_what_it_was_saved_with() -> None:
    saved, again = (nbformat.read(NOTEBOOK, as_version=4) for _ in range(2))
    # A kernel sends what is printed in pieces, as its timer has it: those of one stream are put together.
    folder = {"metadata": {"path": NOTEBOOK.parent}}
    NotebookClient(again, timeout=600, kernel_name="python3", resources=folder, coalesce_streams=True).execute()
    codes = [cell for cell in saved.cells if cell.cell_type == "code"]
    assert all(told(cell) for cell in codes)
    # `make figures` makes the maps anew, and another processor rounds otherwise: not the texts are the same, but where.
    kinds = [[[text == "picture" for text in told(cell)] for cell in each.cells] for each in (again, saved)]
    assert kinds[0] == kinds[1]
    assert all(text.strip() for cell in again.cells for text in told(cell))
    assert sum(text == "picture" for cell in codes for text in told(cell)) == 1
    assert NOTEBOOK.stat().st_size < MOST_BYTES
