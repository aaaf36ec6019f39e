"""Results for other programs: CSV and JSON, and files that others open."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from analyses.parts.runs import load_result
from interp.errors import InputError
from interp.results.comparison import Comparison
from interp.results.estimates import Estimates
from interp.results.heatmap import Heatmap
from interp.results.matrix import Matrix
from interp.results.result import Result
from interp.wording.json_text import json_text
from interp.wording.tabular import csv_text, json_of, long_table, wide_table
from tests.described_maps import map_of, random_map

FIGURES = Path(__file__).parents[2] / "figures"
TRACKED = sorted(FIGURES.rglob("*.nc"))
RESULTS = [path for path in TRACKED if not path.name.endswith(("-pairs.nc", "-examples.nc"))]
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8).filter(str.strip),
    min_size=1,
    max_size=4,
    unique=True,
)


def read_back(text: str, **options: Any) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text, newline=""), keep_default_na=False, **options)


@given(st.integers(0, 10_000))
def test_a_long_table_has_every_value_and_why_others_are_missing(seed: int) -> None:
    heatmap = random_map(seed)
    found = read_back(csv_text(long_table(heatmap)), na_values={name: [""] for name in ("value", "low", "high")})
    assert list(found.columns) == ["layer", "position", "value", "low", "high", "n", "why_missing"]
    for row in found.itertuples():
        cell = heatmap.data.sel(layer=row.layer, position=row.position)
        for name in ("value", "low", "high", "n"):
            assert str(getattr(row, name)) == str(cell[name].item())
        assert row.why_missing == ("too few examples" if math.isnan(cell["value"].item()) else "")
    assert len(found) == heatmap.data["value"].size


@given(st.integers(0, 10_000), NAMES)
def test_a_wide_table_is_read_back_as_a_published_map(tmp_path_factory: Any, seed: int, names: list[str]) -> None:
    path = tmp_path_factory.mktemp("wide") / "map.csv"
    heatmap = random_map(seed, (5, len(names)), names=names)
    path.write_bytes(csv_text(wide_table(heatmap)).encode())
    found = Heatmap.load(path)
    assert [str(name) for name in found.data["position"].values] == names
    assert found.layers == heatmap.layers
    np.testing.assert_array_equal(found.data["value"].values, heatmap.data["value"].values)


def test_a_wide_table_has_any_variable_on_both_axes_and_no_other() -> None:
    heatmap = random_map(0)
    assert wide_table(heatmap, "n").to_numpy().tolist() == heatmap.data["n"].values.tolist()
    with pytest.raises(InputError, match="unknown variable 'hihg'; nearest: high"):
        wide_table(heatmap, "hihg")
    with pytest.raises(InputError, match="has one axis and no wide form"):
        wide_table(load_result(FIGURES / "smollm2-135m" / "cities" / "baselines.nc"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_json_has_all_of_a_tracked_result(path: Path) -> None:
    result = load_result(path)
    found = json.loads(json_of(result), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert set(found["data_vars"]) == set(map(str, result.data.data_vars))
    assert set(found["attrs"]) == set(map(str, result.data.attrs))
    for name, variable in result.data.variables.items():
        told = (found["data_vars"] | found["coords"])[str(name)]
        values = np.array(told["data"], dtype=variable.dtype)
        np.testing.assert_array_equal(values, variable.values)
        assert told["dims"] == list(variable.dims)


def test_json_has_null_for_what_is_missing_and_objects_for_what_is_json() -> None:
    heatmap = map_of(
        np.array([[np.nan, np.inf]]), attributes={"identity": '{"seed": 0}', "variant": "[1]", "bad": "{x"}
    )
    found = json.loads(json_of(heatmap))
    assert found["data_vars"]["value"]["data"] == [[None, "Infinity"]]
    assert (found["attrs"]["identity"], found["attrs"]["variant"], found["attrs"]["bad"]) == ({"seed": 0}, "[1]", "{x")
    with pytest.raises(TypeError, match="JSON has nothing for a set"):
        json_text({"a": {1}})


def test_a_reason_is_told_only_of_what_is_missing() -> None:
    heatmap = map_of(np.array([[0.7, np.nan]]))
    unexplained = Heatmap(heatmap.data.assign(why_missing=heatmap.data["why_missing"] * 0))
    assert (heatmap.missing, unexplained.missing) == ({"too few examples": 1}, {"no value": 1})
    assert unexplained.reasons.tolist() == [["", "no value"]]
    assert Heatmap(heatmap.data.drop_vars("why_missing")).missing == {"no value": 1}


@pytest.mark.parametrize("path", TRACKED, ids=lambda path: path.stem)
def test_xarray_opens_every_tracked_file_by_its_path_alone(path: Path) -> None:
    with xr.open_dataset(path) as data:
        loaded = data.load()
    for name, variable in loaded.variables.items():
        assert variable.dtype.kind in "biufUT", (name, variable.dtype)
    numbers = loaded["value"] if "value" in loaded else loaded["values"]
    assert numbers.dtype.kind == "f"
    assert np.isfinite(numbers.values).any()
    for name, attribute in loaded.attrs.items():
        assert isinstance(attribute, str | int | float | np.integer | np.floating), (name, type(attribute))
        if isinstance(attribute, str) and attribute.startswith("{"):
            assert isinstance(json.loads(attribute), dict)
    meanings = str(loaded.attrs.get("why_missing_meanings", "")).split()
    if "why_missing" in loaded:
        assert loaded["why_missing"].values.max() < len(meanings)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_tracked_result_is_loaded_as_what_it_is(path: Path) -> None:
    result: Result = load_result(path)
    table = long_table(result)
    assert list(table.columns[: len(result.axes)]) == list(result.axes)
    assert isinstance(result, Heatmap | Estimates | Matrix | Comparison)
    assert len(table) == result.data["value"].size
    assert ((table["why_missing"] != "") == table["value"].isna()).all()
