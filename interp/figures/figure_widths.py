"""How wide figures are where papers are published: the widths of columns, in inches, and who says so."""

from __future__ import annotations

from typing import NamedTuple


class Width(NamedTuple):
    """Of a column, or of a figure across two of them."""

    inches: float
    source: str


MILLIMETRES = 25.4
"""Of an inch."""
ONE_COLUMN = "the text is one column of 5.5 in (33 picas)"
ICML = "icml2024.sty: two columns of 3.25 in, 0.25 in apart, in all 6.75 in"
ACL = "acl.sty: A4 with margins of 25 mm, so two columns of 77 mm, 6 mm apart, in all 160 mm"
NATURE = "one column 89 mm, two columns 183 mm"

WIDTHS = {
    "neurips": Width(5.5, f"NeurIPS, neurips_2023.sty: {ONE_COLUMN}"),
    "iclr": Width(5.5, f"ICLR, formatting instructions, section 2: {ONE_COLUMN}"),
    "icml-single": Width(3.25, f"ICML, {ICML}"),
    "icml-double": Width(6.75, f"ICML, {ICML}"),
    "acl-single": Width(77 / MILLIMETRES, f"ACL, {ACL}"),
    "acl-double": Width(160 / MILLIMETRES, f"ACL, {ACL}"),
    "nature-single": Width(89 / MILLIMETRES, f"Nature, guide to final artwork: {NATURE}"),
    "nature-double": Width(183 / MILLIMETRES, f"Nature, guide to final artwork: {NATURE}"),
}
