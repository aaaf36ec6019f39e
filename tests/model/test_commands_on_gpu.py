"""Every command computes on the stand-in for a GPU what it computes on the CPU, from the answers to the results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray

from analyses import cli
from interp.answer_files import load_answers
from interp.model_sources import ModelSource
from tests.row_files import written
from tests.stand_in_gpu import stand_in

N = 90
SAME = ("--dtype", "float32")
CELLS = "--positions last_q,exact_answer_last,-1"
FEW = "--bootstraps 20"
PROBE = f"probe {CELLS} {FEW} --permutations 20 --halvings 1 --folds 3"
PATCH = f"patch {FEW} --pairs 8 --margin 0 --no-only-said"
LINES = {
    "answers": ["answers --samples 2 --n 20"],
    "activations": ["capture --sites resid_pre,resid_mid,attn_out,mlp_out,head_z", f"activation {CELLS}"],
    "probes": [
        f"{PROBE} --save-probes",
        f"apply PROBES {CELLS}",
        f"{PROBE} --c 0.01 1 --selectivity --selectivity-tasks 2",
        f"{PROBE} --probe lda",
        f"{PROBE} --probe mass-mean-whitened",
        f"{PROBE} --labels year",
        f"{PROBE} --labels kind",
    ],
    "baselines": ["baselines --n 60"],
    "ccs": ["ccs --starts 2"],
    "transfer": [f"transfer --datasets a.csv b.csv --folds 3 {CELLS}"],
    "samples": ["error-types --samples 9 --n 60", "select --samples 3"],
    "lenses": [
        f"lens {CELLS} {FEW} --of all",
        "lens --text Lyon --colour kl",
        "tune --begin identity --steps 2 --tokens 64 --measure-every 1 --length 32",
        f"lens {CELLS} {FEW} --of all --quantities kl,answer-logprob --lens tuned:LENS",
        f"attribution {CELLS} {FEW}",
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
        f"{PATCH} --screen --steps 2 --verify top:3",
        "patch --clean Lyon --corrupt Rio",
    ],
}


def asked(name: str) -> Path:
    """Questions with the answers that a model gave, a quarter of them wrong."""
    names = ("France", "Brazil", "Chad", "Peru")
    said = [names[(number * 7 + number // 5) % 4] for number in range(N)]
    rows = [
        {
            "question": f"Where is {name} {number}?",
            "subject": f"{name} {number}",
            "answer": country if number % 3 else names[number % 4],
            "year": str(1900 + number * 37 % 101),
            "kind": "xyz"[number % 3],
            "model_answer": f"It is {country}",
        }
        for number, country in enumerate(said)
    ]
    return written(Path(f"{name}.csv"), rows)


def results_of(name: str, source: ModelSource, device: str) -> dict[str, np.ndarray]:
    """Every array that some command lines leave, and the answers that they are about."""
    found = {}
    for number, line in enumerate(LINES[name]):
        command, *flags = line.split()
        for place, file in (("PROBES", "probes.safetensors"), ("LENS", "lens.safetensors")):
            flags = [flag.replace(place, str(*Path().rglob(file))) if place in flag else flag for flag in flags]
        given = [] if command == "transfer" else ["--dataset", "a.csv"]
        given += [] if "--n" in flags else ["--n", str(N)]
        given += [] if command in ("answers", "capture") else ["--figures", str(number)]
        assert cli.main([command, *flags, *given, "--model", str(source.folder), *SAME, "--device", device]) == 0, line
        for path in Path(str(number)).rglob("*.nc"):
            with xarray.open_dataset(path) as result:
                found |= {f"{number} {path.name} {name}": array.values for name, array in result.data_vars.items()}
    for path in Path("runs").rglob("*.parquet"):
        found[str(path)] = np.array([answer.text for answer in load_answers(path)[0]])
    return found


@pytest.mark.parametrize("name", LINES)
def test_a_command_computes_the_same(
    name: str, source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    with stand_in() as stand_in_device:
        for device in (stand_in_device, "cpu"):
            (tmp_path / device).mkdir()
            monkeypatch.chdir(tmp_path / device)
            for questions in ("a", "b"):
                asked(questions)
            found.append(results_of(name, source, device))
    ours, expected = found
    assert ours.keys() == expected.keys() != set()
    for place, array in ours.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(array, expected[place], rtol=1e-4, atol=1e-5, err_msg=place)
        else:
            np.testing.assert_array_equal(array, expected[place], err_msg=place)
