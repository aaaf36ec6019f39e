"""The colours of a heatmap's cells, and of what is written into them."""

from __future__ import annotations

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_rgb

from interp.figures.plot import MISSING_COLOUR, colours_of, normalised
from interp.results.heatmap import Heatmap

BLACK, WHITE = np.zeros(3), np.ones(3)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


def cell_colours(heatmap: Heatmap) -> Float[np.ndarray, "layer position rgb"]:
    """The colour of every cell, as `interp.figures.plot` draws it."""
    value = np.ma.masked_invalid(heatmap.data["value"].values)
    colours = matplotlib.colormaps[colours_of(heatmap)].with_extremes(bad=to_rgb(MISSING_COLOUR))
    return colours(normalised(heatmap.scale)(value))[..., :3]


def ink_of(mesh: QuadMesh, value: float) -> tuple[float, ...]:
    """The colour of what is written into a cell of a mesh that has this value."""
    return tuple(ink_on(np.array(mesh.to_rgba(np.array([value]))[0, :3])).tolist())


def ink_on(colour: Float[np.ndarray, " rgb"]) -> Float[np.ndarray, " rgb"]:
    """Black or white, whichever is told better from a colour (by the contrast of WCAG 2.2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ LUMINANCE)
    return WHITE if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else BLACK
