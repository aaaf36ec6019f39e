"""Every command computes on the stand-in for a GPU, or on two, what it computes on the CPU: answers and results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray

from analyses import cli
from interp.answers.answer_files import load_answers
from interp.models.model_sources import ModelSource
from tests.row_files import written
from tests.stand_in_gpu import NAME, stand_in

N = 96
NAMES = ("France", "Brazil", "Chad", "Peru", "Spain", "Japan", "Cuba", "Iran")
"""Enough kinds of answers for control tasks, whose labels go by the kind."""
CELLS = "--positions last_q,exact_answer_last,-1"
FEW = "--bootstraps 20"
PROBE = f"probe {CELLS} {FEW} --permutations 20 --halvings 1 --folds 3"
PATCH = f"patch {FEW} --pairs 8 --margin 0 --no-only-said"
LINES = {
    "answers": ["answers --samples 2 --n 20"],
    "activations": [
        "capture --sites resid_pre,resid_mid,attn_out,mlp_out,head_z",
        f"activation {CELLS}",
        f"activation {CELLS} --site attn_out",
    ],
    "probes": [
        f"{PROBE} --save-probes",
        f"apply PROBES {CELLS}",
        f"{PROBE} --c 0.01 1 --selectivity --selectivity-tasks 2",
        f"{PROBE} --probe lda",
        f"{PROBE} --probe mass-mean-whitened",
        f"{PROBE} --labels year",
        f"{PROBE} --labels kind",
    ],
    "baselines": ["baselines"],
    "ccs": ["ccs --starts 2"],
    "transfer": [f"transfer --datasets a.csv b.csv --folds 3 {CELLS}"],
    "samples": ["error-types --samples 9 --n 60", "select --samples 3"],
    "lenses": [f"lens {CELLS} {FEW} --of all", "lens --prompt Lyon --colour kl", f"attribution {CELLS} {FEW}"],
    "translators": [
        "tune --begin identity --steps 2 --tokens 64 --measure-every 1",
        f"lens {CELLS} {FEW} --of all --quantities kl,answer-logprob --lens tuned:LENS",
    ],
    "patches": [
        f"{PATCH} --metric kl",
        f"{PATCH} --plain",
        f"{PATCH} --readout verdict",
        f"{PATCH} --readout whole --direction noise",
        f"{PATCH} --corruption noise",
        f"{PATCH} --corruption mean",
        f"{PATCH} --corruption resample --site head_z",
        f"{PATCH} --site mlp_out --window 2",
        "patch --clean Lyon --corrupt Rio",
    ],
    "estimates": [f"{PATCH} --screen --steps 2 --verify top:3"],
}
OF_TWO = ("answers", "activations", "baselines", "lenses", "patches")
"""What the model itself does, without gradients: they go back through one stand-in only."""
FIRST, SECOND = ("model.embed_tokens", "model.rotary_emb", "model.layers.0"), ("model.layers.1", "model.layers.2")
SPLIT = dict.fromkeys(FIRST, f"{NAME}:0") | dict.fromkeys((*SECOND, "model.norm", "lm_head"), f"{NAME}:1")


def asked(name: str) -> Path:
    """Questions with the answers that a model gave, a quarter of them wrong."""
    said = [NAMES[(number * 5 + number // 7) % len(NAMES)] for number in range(N)]
    rows = [
        {
            "question": f"Where is {name} {number}?",
            "subject": f"{name} {number}",
            "answer": country if number % 3 else NAMES[number % len(NAMES)],
            "year": str(1900 + number * 37 % 101),
            "kind": "xyz"[number % 3],
            "model_answer": f"It is {country}",
        }
        for number, country in enumerate(said)
    ]
    return written(Path(f"{name}.csv"), rows)


def results_of(name: str, source: ModelSource, *placed: str) -> dict[str, np.ndarray]:
    """Every array that some command lines leave, and the answers that they are about."""
    found = {}
    for number, line in enumerate(LINES[name]):
        command, *flags = line.split()
        for place, file in (("PROBES", "probes.safetensors"), ("LENS", "lens.safetensors")):
            flags = [flag.replace(place, str(*Path().rglob(file))) if place in flag else flag for flag in flags]
        given = [] if command == "transfer" or {"--clean", "--prompt"} & {*flags} else ["--dataset", "a.csv"]
        given += [] if "--n" in flags else ["--n", str(N)]
        given += [] if command in ("answers", "capture") else ["--figures", str(number)]
        given += ["--model", str(source.folder), "--backend", "bridge", "--dtype", "float32", *placed]
        assert cli.main([command, *flags, *given]) == 0, line
        for path in Path(str(number)).rglob("*.nc"):
            with xarray.open_dataset(path) as result:
                found |= {f"{number} {path.name} {name}": array.values for name, array in result.data_vars.items()}
    for path in Path("runs").rglob("*.parquet"):
        found[str(path)] = np.array([answer.text for answer in load_answers(path)[0]])
    return found


@pytest.fixture
def expected(name: str, source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """What some command lines leave on the CPU; after it the working folder is an empty one."""
    for folder in ("cpu", "gpu"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        for questions in ("a", "b"):
            asked(questions)
        if folder == "cpu":
            found = results_of(name, source, "--device", "cpu")
    return found


def require_same(ours: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert ours.keys() == expected.keys() != set()
    for place, array in ours.items():
        if array.dtype.kind == "f":
            is_empty = place.endswith(" value") and not np.isfinite(array).any()
            assert not is_empty, f"nothing to compare: {place}"
            np.testing.assert_allclose(array, expected[place], rtol=1e-4, atol=1e-5, err_msg=place)
        else:
            np.testing.assert_array_equal(array, expected[place], err_msg=place)


@pytest.mark.parametrize("name", LINES)
def test_on_a_gpu(name: str, source: ModelSource, expected: dict[str, np.ndarray]) -> None:
    with stand_in() as device:
        require_same(results_of(name, source, "--device", device), expected)


@pytest.mark.parametrize("name", OF_TWO)
def test_of_a_model_that_is_split_over_two(name: str, source: ModelSource, expected: dict[str, np.ndarray]) -> None:
    with stand_in():
        require_same(results_of(name, source, "--device-map", json.dumps(SPLIT)), expected)
