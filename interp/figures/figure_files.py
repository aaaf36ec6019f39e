"""Figures as the bytes of a file: the same figure gives the same ones."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from interp.figures.figure_metadata import comments_of, metadata_of


def figure_bytes(
    figure: Figure, kind: str, settings: Mapping[Any, Any], sources: Mapping[str, str] | None = None
) -> bytes:
    """A figure as a file of a format, without dates, with the hashes of the results that it was drawn from.

    Parameters
    ----------
    figure
        What has been drawn and settled.
    kind
        The format: pdf, png, svg or pgf.
    settings
        Those of matplotlib that it was drawn with.
    sources
        The SHA-256 of each result, by its path from the figure's folder.
    """
    written = io.BytesIO()
    if kind == "pgf":
        written.write(comments_of(sources or {}, matplotlib.__version__).encode())
    with matplotlib.rc_context(dict(settings)):
        if kind == "pgf":  # Its backend knows no metadata, not even none.
            figure.savefig(written, format=kind)
        else:
            figure.savefig(written, format=kind, metadata=metadata_of(kind, sources or {}))
    return written.getvalue()


@contextmanager
def own_settings() -> Iterator[None]:
    """Matplotlib's own settings for a while: a matplotlibrc of the user's would give other bytes."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield
