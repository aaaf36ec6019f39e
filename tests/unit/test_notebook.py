"""The notebook of the library: it runs on the maps that are there, and every cell gives what kind of thing it gave."""

from __future__ import annotations

from tests.notebooks import DOCS, kinds, saved_and_again

NOTEBOOK = "notebook.ipynb"
MOST_BYTES = 100_000


def test_the_notebook_runs_on_tracked_files_and_gives_what_it_was_saved_with() -> None:
    saved, again = saved_and_again(NOTEBOOK)
    assert all(saved)
    # `make figures` makes the maps anew, and another processor rounds otherwise: not the texts are the same, but where.
    assert kinds(again) == kinds(saved)
    assert all(text.strip() for texts in again for text in texts)
    assert sum(text == "picture" for texts in saved for text in texts) == 1
    assert (DOCS / NOTEBOOK).stat().st_size < MOST_BYTES
