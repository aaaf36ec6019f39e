"""How good lenses are: means over tokens, intervals over groups of sequences, and their drawing as lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from analyses import cli
from analyses.parts.runs import drawing
from interp.figures.depth_figure import depth_figure
from interp.lenses.held_out_kl import held_out_map
from interp.results.heatmap import LINES
from interp.results.scales import Scale
from tests.unit.test_heatmap import heatmap_of

N_TOKENS = np.array([3, 10, 7, 1, 5, 20], dtype=np.int64)


def sums_of(*means: float) -> np.ndarray:
    """Of two layers, the second twice as good; tokens of each sequence have one value."""
    return np.stack([np.array(means) * N_TOKENS, np.array(means) * N_TOKENS / 2])


def test_a_value_is_the_mean_over_tokens_of_all_sequences() -> None:
    sums = {"logit lens": sums_of(1, 2, 3, 4, 5, 6), "tuned lens": sums_of(1, 1, 1, 1, 1, 1)}
    data = held_out_map(sums, N_TOKENS, list("abcdef")).data
    mean = np.average([1, 2, 3, 4, 5, 6], weights=N_TOKENS)
    assert data["value"].values == pytest.approx(np.array([[mean, 1], [mean / 2, 0.5]]))
    assert (data["n"] == 6).all()
    assert data.attrs["n_tokens"] == N_TOKENS.sum()
    assert (data["low"] <= data["value"]).all()
    assert (data["high"] >= data["value"]).all()
    # Where all tokens have one value, whatever is drawn has it too.
    assert data["low"].sel(position="tuned lens").values == pytest.approx([1, 0.5])
    assert data["high"].sel(position="tuned lens").values == pytest.approx([1, 0.5])


def test_sequences_of_one_group_are_drawn_together() -> None:
    sums = {"logit lens": sums_of(1, 6, 1, 6, 1, 6)}
    apart, together = (held_out_map(sums, N_TOKENS, groups).data for groups in ("abcdef", "xyxyxy"))
    ends = {1.0, 6.0, float(together["value"][0, 0])}
    assert {float(together["low"][0, 0]), float(together["high"][0, 0])} <= ends
    assert float(apart["low"][0, 0]) > 1


def test_it_is_drawn_as_lines_with_their_bands_and_drawn_again(tmp_path: Path) -> None:
    sums = {"logit lens": sums_of(1, 2, 3, 4, 5, 6), "tuned lens": sums_of(0.1, 0.2, 0.1, 0.2, 0.1, 0.2)}
    found = held_out_map(sums, N_TOKENS, list("abcdef"))
    found.save(tmp_path / "tuned-lens.nc")
    (axes,) = drawing(tmp_path / "tuned-lens.nc")[0].axes
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(sums)
    for column, line in enumerate(axes.lines):
        assert np.asarray(line.get_xdata()).tolist() == [0, 1]
        assert np.asarray(line.get_ydata()).tolist() == found.data["value"].values[:, column].tolist()
        band = axes.collections[column].get_paths()[0].vertices
        assert band[:, 1].min() == pytest.approx(float(found.data["low"].values[:, column].min()))
        assert band[:, 1].max() == pytest.approx(float(found.data["high"].values[:, column].max()))
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 0
    first = (tmp_path / "tuned-lens.png").read_bytes()
    assert cli.main(["figures", "--figures", str(tmp_path)]) == 0
    assert (tmp_path / "tuned-lens.png").read_bytes() == first


@pytest.mark.parametrize(
    ("value", "kind", "points"),
    [
        ([0.7], "linear", [0]),
        ([0.7, np.nan, 0.8, np.nan, 0.6, 0.9], "linear", [0, 2]),
        ([0.7, 0.0, 0.8, 0.9], "log", [0]),
        ([0.7, 0.0, 0.8, 0.9], "linear", []),
    ],
)
def test_a_value_without_one_beside_it_is_a_point_with_its_interval(
    value: list[float], kind: str, points: list[int]
) -> None:
    found = heatmap_of(np.array(value)[:, None], scale=Scale(0.1, 1.0, kind)).with_attributes({"drawn_as": LINES})
    figure = depth_figure(found)
    (axes,), (note,) = figure.axes, figure.texts
    (line,) = axes.lines
    assert line.get_markevery() == (points or None)
    bars = [each for each in axes.collections if isinstance(each, LineCollection)]
    ends = [[tuple(end) for end in segment] for bar in bars for segment in bar.get_segments()]
    data = found.data.isel(position=0)
    assert ends == [[(layer, float(data[end][layer])) for end in ("low", "high")] for layer in points]
    assert note.get_text().startswith("bands and bars: " if points else "bands: ")


@pytest.mark.parametrize("n_layers", [1, 2, 5, 6])
def test_ticks_of_layers_are_at_whole_numbers(n_layers: int) -> None:
    (axes,) = depth_figure(heatmap_of(np.full((n_layers, 1), 0.7))).axes
    assert all(tick == round(tick) for tick in axes.get_xticks())
