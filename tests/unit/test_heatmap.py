from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analyses.parts.runs import load_result
from interp.errors import InputError
from interp.results.heatmap import Heatmap
from interp.results.scales import Scale, centred_scale, cosine_scale, log_scale, ratio_scale


def heatmap_of(
    value: np.ndarray,
    *,
    positions: list[str] | None = None,
    layers: list[int] | None = None,
    scale: Scale | tuple[float, float] = (0.5, 1.0),
) -> Heatmap:
    return Heatmap.of(
        (value, value - 0.05, value + 0.05, np.full(value.shape, 100)),
        names=(layers or range(len(value)), positions or [f"-{k}" for k in range(value.shape[1], 0, -1)]),
        kind="probe",
        metric="AUC of error detection",
        scale=scale,
        extra={"n_wrong": np.full(value.shape, 40)},
        attributes={"model": "tiny", "identity": '{"seed": 0}'},
    )


def test_a_heatmap_survives_its_file(tmp_path: Path) -> None:
    value = np.random.default_rng(0).random((4, 3))
    value[1, 2] = np.nan
    heatmap = heatmap_of(value)
    heatmap.save(tmp_path / "probe.nc")
    loaded = Heatmap.load(tmp_path / "probe.nc")
    assert loaded.data.identical(heatmap.data)
    assert loaded.scale == Scale(0.5, 1.0)
    assert loaded.identity == {"seed": 0}


def test_the_same_heatmap_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.nc", "b.nc"):
        heatmap_of(np.full((2, 2), 0.7)).save(tmp_path / name)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_what_is_no_heatmap_is_refused() -> None:
    data = heatmap_of(np.ones((2, 2))).data
    with pytest.raises(ValueError, match="no variable 'low'"):
        Heatmap(data.drop_vars("low"))
    with pytest.raises(ValueError, match=r"'n' is on \('position', 'layer'\)"):
        Heatmap(data.assign(n=data["n"].T))
    del data.attrs["metric"]
    with pytest.raises(ValueError, match="no attribute 'metric'"):
        Heatmap(data)


def test_layers_keep_the_models_numbers(tmp_path: Path) -> None:
    heatmap_of(np.full((3, 2), 0.7), layers=[2, 5, 6]).save(tmp_path / "some.nc")
    assert Heatmap.load(tmp_path / "some.nc").layers == [2, 5, 6]
    with pytest.raises(ValueError, match=r"layers that do not ascend: \[2, 5, 5\]"):
        heatmap_of(np.full((3, 2), 0.7), layers=[2, 5, 5])


def test_a_scale_survives_its_file_and_a_linear_one_says_only_its_ends(tmp_path: Path) -> None:
    for scale in (Scale(0.5, 1.0), Scale(1.0, 100.0, "log"), Scale(0.5, 2.0, "log", centre=1.0)):
        heatmap_of(np.ones((2, 2)), scale=scale).save(tmp_path / "map.nc")
        assert Heatmap.load(tmp_path / "map.nc").scale == scale
    assert not {"scale_kind", "centre"} & set(heatmap_of(np.ones((2, 2))).data.attrs)


@pytest.mark.parametrize(
    ("scale", "problem"),
    [
        (Scale(0.0, 1.0, "log"), "a log scale cannot begin at 0"),
        (Scale(0.0, 1.0, "square"), "scale_kind is 'square', not one of linear, log"),
        (Scale(1.0, 1.0), "a scale cannot go from 1 to 1"),
        (Scale(0.5, 2.0, centre=1.0), "the middle of the scale is 1.25, not 1"),
        (Scale(0.5, 4.0, "log", centre=1.0), "the middle of the scale is 1.41421, not 1"),
    ],
)
def test_a_scale_that_cannot_be_drawn_is_refused(scale: Scale, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        heatmap_of(np.ones((2, 2)), scale=scale)


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        ([12.0, 3400.0], (10.0, 5000.0)),
        ([20.0, 50.0], (20.0, 50.0)),
        ([0.0, 0.03, 0.4], (0.02, 0.5)),
        ([10.0, 10.0], (10.0, 20.0)),
        ([999.9999999999999, 1000.0], (500.0, 1000.0)),
        ([1.1e-300, 1e300], (1e-300, 1e300)),
        ([], (1.0, 10.0)),
        ([0.0], (1.0, 10.0)),
    ],
)
def test_a_log_scale_goes_from_round_number_to_round_number(values: list[float], ends: tuple[float, float]) -> None:
    scale = log_scale(np.array(values, dtype=float))
    assert scale == Scale(*ends, "log")
    assert scale.problem is None


@pytest.mark.parametrize(
    ("values", "factor"),
    [([1.0], 1.2), ([0.9, 1.3], 1.5), ([0.5, 1.9], 2.0), ([0.3], 5.0), ([7.0], 10.0), ([0.0, 130.0], 200.0), ([], 1.2)],
)
def test_a_ratio_scale_is_as_wide_on_both_sides(values: list[float], factor: float) -> None:
    scale = ratio_scale(np.array(values, dtype=float))
    assert scale == Scale(1 / factor, factor, "log", centre=1.0)
    assert scale.problem is None


@pytest.mark.parametrize(
    ("values", "low"),
    [([0.97, 1.0], 0.95), ([0.62], 0.5), ([0.3], 0.0), ([-0.003, 0.5], -0.1), ([-0.3], -0.5), ([], 0.0), ([1.0], 0.99)],
)
def test_a_cosine_scale_ends_at_one(values: list[float], low: float) -> None:
    assert cosine_scale(np.array(values, dtype=float)) == Scale(low, 1.0)


def test_a_published_map_is_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "fig.csv"
    path.write_text("layer,last_q,exact_answer_first,-1\n0,0.6,0.7,\n1,0.61,0.5,0.9\n")
    heatmap = Heatmap.load(str(path))
    assert heatmap.data["position"].values.tolist() == ["last_q", "exact_answer_first", "-1"]
    np.testing.assert_array_equal(heatmap.data["value"].values, [[0.6, 0.7, np.nan], [0.61, 0.5, 0.9]])
    assert heatmap.data["low"].isnull().all()
    assert (heatmap.data["n"] == 0).all()


def test_a_mark_of_the_encoding_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "fig.csv"
    path.write_text("layer,last_q\n0,0.6\n", encoding="utf-8-sig")
    assert Heatmap.load(path).positions == ["last_q"]


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "not a table of numbers"),
        ("layer,a\n0,high\n", "not a table of numbers"),
        ("row,a\n0,1\n", "first column must be 'layer'"),
        ("layer,a\n1,1\n2,1\n", "the layers must be 0, 1, 2"),
        ("layer;a\n0;0,5\n", "has semicolons between its columns; write commas there"),
        ("layer,a,b\n0,.6,.7\n\n1,.6\n", r"fig.csv, line 4: 2 cells, and the header has 3; give every column one"),
        ("layer,a\n0,.6,.7\n", r"fig.csv, line 2: 3 cells, and the header has 2"),
        ("layer,a,b,a\n0,.6,.7,.8\n", r"fig.csv: columns 2 and 4 are called 'a'; give each its own name"),
        ("layer,a,\n0,.6,.7\n", r"fig.csv: column 3 has no name; give it that of its position"),
        (",a\n0,.6\n", "first column must be 'layer'"),
        ("layer,a,b\n0,.6,.7\n\n1,,inf\n", r"fig.csv, line 4, column 'b': 'inf' is not finite; write a number, or not"),
        ("layer,a\n0,-Infinity\n", r"fig.csv, line 2, column 'a': '-Infinity' is not finite"),
        ("layer,a\n0,1e999\n", r"fig.csv, line 2, column 'a': '1e999' is not finite"),
    ],
)
def test_a_malformed_csv_says_what_is_wrong(tmp_path: Path, contents: str, message: str) -> None:
    (tmp_path / "fig.csv").write_text(contents)
    with pytest.raises(InputError, match=message):
        Heatmap.load(tmp_path / "fig.csv")


def test_absent_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no heatmap at"):
        Heatmap.load(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("not netCDF")
    with pytest.raises(InputError, match="not a heatmap"):
        Heatmap.load(tmp_path / "text.nc")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), st.floats(-10, 10))
@example([5e-324], 0.0)
def test_a_centred_scale_reaches_all_values_and_little_further(values: list[float], centre: float) -> None:
    found = centred_scale(np.array(values), centre)
    assert found.problem is None
    away = max(abs(value - centre) for value in values)
    reach = found.high - centre
    assert away * (1 - 1e-5) - 1e-9 <= reach
    assert reach <= max(1.11 * away, 1.1e-6) + 1e-9


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "map.nc"
    heatmap_of(np.full((3, 4), 0.7)).with_attributes({"identity": '{"seed": 0}'}).save(path)
    whole = path.read_bytes()
    told = []
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 32]) + whole[place + 1 :])
        try:
            assert load_result(path).identity
        except InputError as error:
            told.append(str(error))
    assert told
    assert "\n" not in "".join(told)


def test_what_rounding_takes_off_a_scale_is_its_end() -> None:
    scale = Scale(0.5, 1.0)
    below, above = scale.outside(np.array([0.49, 0.5 - 1e-8, 0.7, 1.0 + 1e-8, 1.01]))
    assert below.tolist() == [True, False, False, False, False]
    assert above.tolist() == [False, False, False, False, True]


def test_what_has_no_logarithm_is_missing_on_a_log_scale() -> None:
    values = np.array([[0.0, -1.0, 1.0, np.e]])
    np.testing.assert_allclose(Scale(0.1, 10.0, "log").placed(values), [[np.nan, np.nan, 0, 1]])
    unknown = np.full_like(values, np.nan)
    heatmap = Heatmap.of(
        (values, unknown, unknown, np.ones(values.shape, dtype=np.int64)),
        names=(range(len(values)), "abcd"),
        kind="norm",
        metric="ratio",
        scale=Scale(0.1, 10.0, "log"),
    )
    np.testing.assert_allclose(heatmap.turned(values), [[np.nan, np.nan, 0, 1]])
