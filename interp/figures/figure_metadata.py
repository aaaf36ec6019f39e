"""What a figure file says of itself: the results that it was drawn from, by their hashes, and what drew it.

It is in the file's own metadata, where it moves with the file: the Info dictionary of a PDF (``Keywords``), a tEXt
chunk of a PNG, the RDF description of an SVG (``dc:source``), a comment of a PGF file. There are no dates.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, unquote

from PIL import Image

from interp.errors import InputError

FORMATS = ("pdf", "png", "svg", "pgf")
FIELDS = {"pdf": "Keywords", "png": "Drawn from", "svg": "Source"}
"""Where in the metadata of a format the results are named; PGF has none."""
WITHOUT_DATE: dict[str, dict[str, str | None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
COMMENTS = ("%% Drawn from: ", "%% Drawn by: ")
"""What the lines begin with that stand before what matplotlib writes as PGF."""
ENDS = {"pdf": b"%%EOF", "png": b"IEND\xaeB`\x82"}
"""What a whole file has at its end, or where another program has added to it little before: `NEAR_END` bytes."""
NEAR_END = 1024
SOURCE = re.compile(r"(?P<path>\S+) sha256:(?P<sha256>[0-9a-f]{64})")
DUBLIN_CORE = "{http://purl.org/dc/elements/1.1/}"
CREATOR = f"creator//{DUBLIN_CORE}title"


@dataclass(frozen=True)
class FigureRecord:
    """What a figure file says of itself."""

    sources: Mapping[str, str]
    """The SHA-256 of each result that it was drawn from, by its path from the figure's folder."""
    drawn_by: str
    """The version of matplotlib, in its own words; empty if the file does not say."""


def metadata_of(kind: str, sources: Mapping[str, str]) -> dict[str, str | None]:
    """The metadata that matplotlib is to write into a file of a format."""
    named = {FIELDS[kind]: sources_in_words(sources)} if sources and kind in FIELDS else {}
    return WITHOUT_DATE.get(kind, {}) | named


def sources_in_words(sources: Mapping[str, str]) -> str:
    """Results with their hashes, in characters that no format has to escape."""
    return ", ".join(f"{quote(path)} sha256:{sha256}" for path, sha256 in sources.items())


def comments_of(sources: Mapping[str, str], version: str) -> str:
    """The first lines of a PGF file, drawn by a version of matplotlib."""
    values = (sources_in_words(sources), f"Matplotlib v{version}")
    return "".join(f"{start}{value}\n" for start, value in zip(COMMENTS, values, strict=True))


def figure_record(path: Path) -> FigureRecord:
    """Read what a figure file says of itself; nothing is made up for what it does not say.

    Raises
    ------
    InputError
        If there is no such file, it is no figure of a format that is known here, or it has been cut off.
    """
    if not path.is_file():
        raise InputError(f"no figure at {path}; give the path of a .{', .'.join(FORMATS)} file")
    if path.suffix[1:] not in FORMATS:
        raise InputError(f"{path} is no figure; give the path of a .{', .'.join(FORMATS)} file")
    try:
        return record_in(path.read_bytes(), path.suffix[1:])
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{path} cannot be read as a figure: {error}; draw it again with 'interp figures'") from error


def record_in(contents: bytes, kind: str) -> FigureRecord:
    """What the bytes of a file of a format say; raises what their reader raises if they are no such file."""
    if kind in ENDS and ENDS[kind] not in contents[-NEAR_END:]:
        raise ValueError(f"it is damaged, its end is missing after {len(contents):,} bytes")
    words, drawn_by = READERS[kind](contents)
    return FigureRecord({unquote(each["path"]): each["sha256"] for each in SOURCE.finditer(words)}, drawn_by)


def _of_pdf(contents: bytes) -> tuple[str, str]:
    """From the Info dictionary, which matplotlib writes as it is, uncompressed, with one entry a line."""
    numbers = re.findall(rb"/Info (\d+) 0 R", contents)
    if not numbers:
        return "", ""
    info = re.search(rb"(?:^|\n)" + numbers[-1] + rb" 0 obj\s*<<(.*?)endobj", contents, flags=re.DOTALL)
    entries = dict(re.findall(rb"/(\w+) \(([^()\\]*)\)", info[1])) if info else {}
    return entries.get(b"Keywords", b"").decode("latin-1"), entries.get(b"Creator", b"").decode("latin-1")


def _of_png(contents: bytes) -> tuple[str, str]:
    with Image.open(BytesIO(contents), formats=["PNG"]) as image:
        return str(image.info.get(FIELDS["png"], "")), str(image.info.get("Software", ""))


def _of_svg(contents: bytes) -> tuple[str, str]:
    root = ET.fromstring(contents)  # noqa: S314  (a file of the user's own, from which only two texts are taken)
    source, creator = (root.findtext(f".//{DUBLIN_CORE}{path}", "") for path in ("source", CREATOR))
    return source, creator


def _of_pgf(contents: bytes) -> tuple[str, str]:
    head = contents.decode().splitlines()[: len(COMMENTS)]
    found = [line.removeprefix(start) for line, start in zip(head, COMMENTS, strict=False) if line.startswith(start)]
    return (found[0], found[1]) if len(found) == len(COMMENTS) else ("", "")


READERS: Mapping[str, Callable[[bytes], tuple[str, str]]] = {
    "pdf": _of_pdf,
    "png": _of_png,
    "svg": _of_svg,
    "pgf": _of_pgf,
}
