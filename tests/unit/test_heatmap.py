from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from interp.errors import InputError
from interp.heatmap import Heatmap


def heatmap_of(value: np.ndarray, *, positions: list[str] | None = None) -> Heatmap:
    return Heatmap.build(
        value,
        value - 0.05,
        value + 0.05,
        np.full(value.shape, 100),
        positions=positions or [f"-{k}" for k in range(value.shape[1], 0, -1)],
        kind="probe",
        metric="AUC of error detection",
        scale=(0.5, 1.0),
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
    assert loaded.scale == (0.5, 1.0)
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


def test_a_published_map_is_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "fig.csv"
    path.write_text("layer,last_q,exact_answer_first,-1\n0,0.6,0.7,\n1,0.61,0.5,0.9\n")
    heatmap = Heatmap.load(path)
    assert heatmap.data["position"].values.tolist() == ["last_q", "exact_answer_first", "-1"]
    np.testing.assert_array_equal(heatmap.data["value"].values, [[0.6, 0.7, np.nan], [0.61, 0.5, 0.9]])
    assert heatmap.data["low"].isnull().all()
    assert (heatmap.data["n"] == 0).all()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "not a table of numbers"),
        ("layer,a\n0,high\n", "not a table of numbers"),
        ("row,a\n0,1\n", "first column must be 'layer'"),
        ("layer,a\n1,1\n2,1\n", "the layers must be 0, 1, 2"),
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
