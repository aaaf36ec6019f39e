"""interp patch on a tiny model: what it writes, what it uses again, and what it refuses."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr
from tokenizers import normalizers

from analyses import cli
from analyses.parts import patch_texts, patching
from analyses.parts.runs import prompt_name
from interp.errors import InputError
from interp.models import output_path
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from interp.patching.pair_patching import patched_pairs
from interp.patching.pair_runs import READINGS
from interp.patching.patch_files import load_patched
from interp.patching.patch_map import MIN_PAIRS
from interp.patching.patched_pairs import PatchedPairs
from interp.patching.patcher import Patcher
from interp.results.example_values import ExampleValues
from interp.results.heatmap import Heatmap
from tests.row_files import written
from tests.stored import contents
from tests.tiny_models import trained_tokenizer

N = 40
COUNTRIES = ("France", "Brazil", "Chad", "Peru")
CITIES = ("Lyon", "São Paulo", "Rio", "Nice", "Osaka")
PATCHED = ["--no-only-said", "--margin=-1000", "--bootstraps", "50"]
"""A model of random weights says none of the answers."""
FEW = ["--positions", "subject_last,last_q,exact_answer_before_first,exact_answer_first"]
TWO = ["--positions", "subject_last,exact_answer_before_first", "--metric", "score"]
TEXTS = ["--clean", "The city of Lyon is located in", "--corrupt", "The city of São Paulo is located in"]
PATCH_OF_TEXTS = f"patch-{prompt_name(TEXTS[1], TEXTS[3])}"
QUESTIONS = Path("asked.csv")


@pytest.fixture(autouse=True)
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions with given answers, a quarter of which are wrong."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for index in range(N):
        city = f"{CITIES[index % len(CITIES)]} {index}"
        named = COUNTRIES[index % len(COUNTRIES)]
        rows.append(
            {
                "id": f"q{index}",
                "question": f"In which country is {city}?",
                "subject": city,
                "answer": named if index % 3 else COUNTRIES[(index + 1) % len(COUNTRIES)],
                "model_answer": f"It is in {named}",
            }
        )
    written(QUESTIONS, rows)


LOADED = cache(load_model)
"""A model is loaded once for all tests that do not ask whether it is."""


def patch(
    source: ModelSource, *flags: str, status: int = 0, asked: Path = QUESTIONS, n: int = N, whole: bool = False
) -> None:
    """Run interp patch; unless it is the `whole` of it that is tested, nothing is drawn and no model loaded again."""
    common = ["--model", str(source.folder), "--n", str(n), "--dtype", "float32"]
    if "--clean" not in flags:
        common += ["--dataset", str(asked), "--max-new-tokens", "8"]
    with pytest.MonkeyPatch.context() as parts:
        if not whole:
            parts.setattr("interp.models.loading.load_model", LOADED)
            parts.setattr("analyses.parts.runs.draw", lambda *_, **__: [])
        assert cli.main(["patch", *common, *flags]) == status


def folder_of(source: ModelSource, dataset: str = "asked") -> Path:
    return Path("figures") / source.name / dataset


def test_a_map_is_drawn_with_its_pairs_and_made_once(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    patch(source, *PATCHED, *FEW, whole=True)
    told = capsys.readouterr().out
    folder = folder_of(source)
    before = contents(folder)
    assert set(before) == {"patch.nc", "patch.pdf", "patch.png", "patch-pairs.nc", "patch-examples.nc"}
    assert all(str(folder / name) in told for name in before)

    heatmap = Heatmap.load(folder / "patch.nc")
    pairs = load_patched(folder / "patch-pairs.nc")
    assert MIN_PAIRS <= len(pairs.ids) <= N // 2
    assert f"{len(pairs.ids)} pairs" in told
    assert json.loads(heatmap.data.attrs["counts"])["pairs"] == len(pairs.ids)
    assert heatmap.data.attrs["metric"] == "Recovery of logit difference, mean"
    recovery = (pairs.values[0] - pairs.corrupt[0][:, None, None]) / (pairs.clean[0] - pairs.corrupt[0])[:, None, None]
    np.testing.assert_allclose(heatmap.data["value"][:, :3], recovery[:, :, :3].mean(0))
    at_read_out = heatmap.data["value"].sel(position="exact_answer_before_first")
    assert abs(float(at_read_out[-1]) - 1) < 1e-4
    (line,) = [
        line for line in told.splitlines() if line.startswith("exact_answer_before_first") and "at layer" in line
    ]
    largest = int(np.abs(at_read_out.values[:-1]).argmax())
    peaks = np.abs(recovery[:, :2, 2]).argmax(1)
    assert f"{float(at_read_out[largest]):.3f} [" in line
    assert f"at layer {largest}, pairs: {int(np.quantile(peaks, 0.5, method='inverted_cdf'))} (" in line
    assert "(without exact_answer_before_first from layer 2 on, where a patch gives the donor's run" in told
    examples = ExampleValues.load(folder / heatmap.data.attrs["examples"])
    assert examples.ids == pairs.ids
    (everyone,) = examples.drawn(np.ones((1, len(pairs.ids)), dtype=np.float32))
    np.testing.assert_allclose(everyone, heatmap.data["value"], atol=1e-6)
    meanings = heatmap.data.attrs["why_missing_meanings"].split()
    why = heatmap.data["why_missing"]
    reasons = {name: [meanings[code] for code in why.sel(position=name).values] for name in why["position"].values}
    assert reasons["last_q"] == ["has_value", "has_value", "cannot_reach_the_read_out"]
    assert reasons["exact_answer_before_first"] == ["has_value"] * 3
    assert set(reasons["exact_answer_first"]) == {"after_the_read_out"}
    with xr.open_dataset(folder / "patch-pairs.nc", engine="h5netcdf") as data:
        assert data["row"].values.tolist() == ["0-0", "1-1", "2-2"]
        assert data["reading"].values.tolist() == list(READINGS)

    # Another metric of the same pairs patches nothing anew; the same map does not even load the model.
    with monkeypatch.context() as patching:
        patching.setattr("interp.patching.pair_patching.patched_pairs", None)
        patch(source, *PATCHED, *FEW, "--metric", "kl")
        assert Heatmap.load(folder / "patch-kl.nc").data.attrs["unpatched"] == 0
    monkeypatch.setattr("interp.models.loading.load_model", None)
    patch(source, *PATCHED, *FEW, whole=True)
    assert {name: each for name, each in contents(folder).items() if "kl" not in name} == before
    patch(source, *PATCHED, *FEW, "--pairs", "9", status=2)
    assert "is the result of another run (pairs: 100 there, 9 here)" in capsys.readouterr().err


def test_interrupted_it_goes_on_and_writes_the_same(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("interp.patching.pair_patching.PAIRS_AT_ONCE", 7)
    patch(source, *PATCHED, *TWO)
    undisturbed = contents(folder_of(source))
    Path("runs").rename("undisturbed")
    whole, left = Patcher.patched, [2]

    def interrupted(*given: Any) -> PatchedPairs:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return whole(*given)

    monkeypatch.setattr(Patcher, "patched", interrupted)
    patch(source, *PATCHED, *TWO, status=130)
    assert "the same command goes on from here" in capsys.readouterr().err
    kept = sorted(path.name for path in Path("runs").rglob("*.parts/*"))
    assert kept == ["pairs-000.npz", "pairs-001.npz"]
    left[0] = 100
    patch(source, *PATCHED, *TWO)
    (n_batches,) = {-(-len(load_patched(path).ids) // 7) for path in Path("runs").rglob("pairs.nc")}
    assert 100 - left[0] == n_batches - len(kept), "what was patched before is not patched again"
    assert contents(folder_of(source)) == undisturbed
    assert not list(Path("runs").rglob("*.parts"))


def test_pairs_are_no_more_than_were_asked_for(source: ModelSource) -> None:
    patch(source, *PATCHED, *FEW, "--pairs", "9", "--layers", "0,2")
    heatmap = Heatmap.load(folder_of(source) / "patch-0_2.nc")
    assert heatmap.layers == [0, 2]
    assert heatmap.data["n"].sel(position="exact_answer_before_first").values.tolist() == [9, 9]


def test_heads_have_columns_of_their_own(source: ModelSource) -> None:
    positions = ("subject_last", "exact_answer_before_first")
    patch(source, *PATCHED, "--positions", ",".join(positions), "--site", "head_z")
    heatmap = Heatmap.load(folder_of(source) / "patch-head_z.nc")
    columns = [f"{position} h{head}" for position in positions for head in range(4)]
    assert heatmap.data["position"].values.tolist() == columns
    assert heatmap.layers == [0, 1, 2]
    known = np.isfinite(heatmap.data["value"].values)
    assert known[:2].all()
    assert known[2].tolist() == [False] * 4 + [True] * 4


def test_a_verdict_is_of_right_answers_against_wrong_ones(source: ModelSource) -> None:
    patch(source, *PATCHED, "--readout", "verdict", "--positions=last_q,exact_answer_first,-1")
    heatmap = Heatmap.load(folder_of(source) / "patch-verdict.nc")
    known = np.isfinite(heatmap.data["value"].values)
    assert known[:2].all(), "what is within the answer comes before the verdict"
    assert not known[2].any(), "which the last layer cannot reach from there"
    ids = load_patched(folder_of(source) / "patch-verdict-pairs.nc").ids
    numbers = [[int(each.removeprefix("q")) for each in pair.split(" / ")] for pair in ids]
    assert all(clean % 3 and not corrupt % 3 for clean, corrupt in numbers)


@pytest.mark.parametrize(("metric", "words"), [("auto", "Recovery of"), ("score", "Change in")])
def test_whole_answers_are_read_by_their_log_probabilities(source: ModelSource, metric: str, words: str) -> None:
    patch(source, *PATCHED, *FEW, "--readout", "whole", "--metric", metric)
    name = "patch-whole.nc" if metric == "auto" else f"patch-whole-{metric}.nc"
    told = Heatmap.load(folder_of(source) / name).data.attrs["metric"]
    assert told == f"{words} log-probability difference of whole answers, mean"


@pytest.mark.parametrize("corruption", ["zero", "mean", "resample"])
def test_an_ablation_is_the_change_of_the_answers_log_probability(source: ModelSource, corruption: str) -> None:
    patch(source, *PATCHED, *FEW, "--corruption", corruption)
    data = Heatmap.load(folder_of(source) / f"patch-by-{corruption}.nc").data
    assert data.attrs["metric"] == "Change in log-probability of the clean answer, mean"
    assert data.attrs["unpatched"] == 0
    assert data.attrs["variant"] == f"corruption: {corruption}"


@pytest.mark.parametrize(
    ("flags", "first"),
    [
        (["--corruption", "zero"], None),
        (["--readout", "whole"], None),
        (["--site", "attn_out"], None),
        (["--layers", "0,1"], None),
        (["--window", "3"], 1),
        (["--direction", "noise"], 2),
    ],
)
def test_only_what_a_patch_gives_whatever_the_model_is_no_peak(
    source: ModelSource, flags: list[str], first: int | None, capsys: pytest.CaptureFixture
) -> None:
    patch(source, *PATCHED, *FEW, *flags)
    told = capsys.readouterr().out
    assert ("where a patch gives the donor's run whatever the model" in told) == (first is not None)
    assert first is None or f"(without exact_answer_before_first from layer {first} on" in told


def test_causal_tracing_and_a_lead(source: ModelSource) -> None:
    patch(source, *PATCHED, *FEW, "--corruption", "noise", "--draws", "2", "--lead", "The country is")
    heatmap = Heatmap.load(folder_of(source) / "patch-by-noise-led.nc")
    assert heatmap.data.attrs["variant"] == "corruption: noise, every answer begins with 'The country is'"
    last = heatmap.data["value"].sel(position="exact_answer_before_first")
    assert abs(float(last[-1]) - 1) < 1e-4, "the last layer has all of it where it is read"


def test_a_pair_of_texts_has_its_tokens_as_columns(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    answers = ["--clean-answer", " France", "--corrupt-answer", " Brazil"]
    patch(source, *TEXTS, *answers, "--margin=-1000", whole=True)
    folder = folder_of(source, "texts")
    before = contents(folder)
    assert set(before) == {f"{PATCH_OF_TEXTS}{suffix}" for suffix in (".nc", ".pdf", ".png")}
    data = Heatmap.load(folder / f"{PATCH_OF_TEXTS}.nc").data
    columns = data["position"].values.tolist()
    assert [int(column.split()[0]) for column in columns] == sorted({int(column.split()[0]) for column in columns})
    assert columns[0].startswith("0 ")
    meanings = data.attrs["why_missing_meanings"].split()
    reasons = [meanings[code] for code in data["why_missing"].values[:, 0]]
    assert set(reasons) == {"clean_and_corrupt_are_the_same"}, "both texts begin with it"
    assert np.isnan(data["value"][:, 0]).all()
    assert abs(float(data["value"][-1, -1]) - 1) < 1e-4
    assert np.isnan(data["low"]).all()
    first, second = json.loads(data.attrs["answers"])
    assert data.attrs["variant"] == f"{first} against {second}, clean: '{TEXTS[1]}', corrupt: '{TEXTS[3]}'"
    told = capsys.readouterr().out
    assert "Recovery of logit difference\n" in told, "of one pair there are no intervals"
    assert f"read at the end: {first} against {second}\n" in told

    monkeypatch.setattr("interp.models.loading.load_model", None)
    patch(source, *TEXTS, *answers, "--margin=-1000", whole=True)
    assert contents(folder) == before
    patch(source, *TEXTS, *answers, "--margin=-1001", status=2)
    assert "is the result of another run (margin: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--corruption", "zero"], "␣France alone, corruption: zero, clean: 'The city of Lyon is located in'"),
        (
            ["--direction", "noise", "--window", "2"],
            "␣France against ␣Brazil, windows of 2 layers, corrupted into clean,",
        ),
    ],
)
def test_a_map_of_texts_says_how_it_was_made_and_what_is_read(
    source: ModelSource, flags: list[str], words: str
) -> None:
    answers = ["--clean-answer", " France", "--corrupt-answer", " Brazil", "--margin=-1000"]
    patch(source, *TEXTS, *answers, *flags)
    (path,) = folder_of(source, "texts").glob("*.nc")
    assert Heatmap.load(path).data.attrs["variant"].startswith(words)


def test_long_texts_do_not_stand_below_a_map() -> None:
    config = patching.Config(clean="Lyon " * 30, corrupt="Nice " * 30)
    assert patch_texts.variant_in_words(config, ["a", "b"]) == "a against b"


def test_every_pair_of_texts_has_a_map_of_its_own(source: ModelSource) -> None:
    for corrupt in (TEXTS[3], "The city of Nice is located in"):
        patch(source, *TEXTS[:3], corrupt, "--clean-answer", " France", "--corrupt-answer", " Brazil", "--margin=-1000")
    assert len(list(folder_of(source, "texts").glob("patch-*.nc"))) == 2


def test_heads_of_a_pair_of_texts_have_a_column_each(source: ModelSource) -> None:
    flags = ["--clean-answer", " France", "--corrupt-answer", " Brazil", "--margin=-1000"]
    patch(source, *TEXTS, *flags)
    patch(source, *TEXTS, *flags, "--site", "head_z")
    folder = folder_of(source, "texts")
    whole, heads = (Heatmap.load(folder / f"{PATCH_OF_TEXTS}{variant}.nc") for variant in ("", "-head_z"))
    assert heads.positions == [f"{name} h{head}" for name in whole.positions for head in range(4)]
    assert heads.layers == whole.layers


def test_texts_ablated_in_one_way_are_not_those_ablated_in_another(source: ModelSource) -> None:
    flags = ["--clean-answer", " France", "--corrupt-answer", " Brazil", "--margin=-1000"]
    maps = {}
    for corruption in ("zero", "resample"):
        patch(source, *TEXTS, *flags, "--corruption", corruption)
        path = folder_of(source, "texts") / f"{PATCH_OF_TEXTS}-by-{corruption}.nc"
        maps[corruption] = Heatmap.load(path).data["value"].values
    assert np.nanmax(abs(maps["zero"] - maps["resample"])) > 0.1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clean", "Lyon", "--corrupt", "Lyon"], "--clean and --corrupt are the same tokens"),
        (["--clean", "Lyon"], "one pair of texts needs both --clean and --corrupt"),
        (["--clean", "Lyon " * 3000, "--corrupt", "Lyon"], "tokens, and the model reads at most 2048; shorten it"),
        ([*TEXTS, "--clean-answer", "Rio", "--corrupt-answer", "Rio"], "both texts go on with the same token"),
        (
            [*TEXTS, "--clean-answer", " Rio", "--corrupt-answer", " Rio, Brazil"],
            "of --clean-answer and --corrupt-answer the first token alone is read: give two that differ in it",
        ),
        ([*TEXTS, "--clean-answer", " Rio", "--corrupt-answer", "Nice"], "begins with a space, the other does not"),
        ([*TEXTS, "--positions", "last_q"], "--positions is for sets of questions; leave it out for a pair of texts"),
        ([*TEXTS, "--pairs", "8", "--pair-column", "pair"], "--pairs, --pair-column are for sets of questions"),
        ([*TEXTS, "--template", "{question}"], "--template is for sets of questions; leave it out for a pair of texts"),
        ([*TEXTS, "--no-only-said"], "--only-said is for sets of questions"),
        ([*TEXTS, "--clean-answer", ""], "an answer of no tokens cannot be read"),
        (["--clean", "<|im_start|>Lyon", "--corrupt", "Nice"], "--clean and --corrupt are framed in different ways"),
        (
            [*TEXTS, "--margin", "1000"],
            "no pair of texts can be patched: the two runs differ by less than the margin of 1000 (1); lower --margin, "
            "or take other texts",
        ),
        ([*TEXTS, "--margin=-1000", "--site", "nowhere"], "unknown site 'nowhere'"),
        ([*TEXTS[:3], "bad \udcff byte"], "--corrupt is not UTF-8: it has bytes that are no character"),
        ([*TEXTS, "--corruption", "noise"], "--corruption noise is for sets of questions; leave it out"),
        ([*TEXTS, "--corruption", "mean"], "--corruption mean is for sets of questions; leave it out"),
        ([*TEXTS, "--readout", "verdict"], "one pair of texts is read at its end; leave --readout and --lead out"),
        (["--clean-answer", "Rio"], "--clean-answer and --corrupt-answer go with --clean and --corrupt"),
        (["--corruption", "zero", "--metric", "recovery"], "--corruption zero has no corrupted run to recover from"),
        (["--corruption", "noise", "--direction", "noise"], "noise on the embeddings is denoised only"),
        (["--readout", "verdict", "--lead", "It is"], "leave --corruption and --lead out"),
        (["--lead", ""], "--lead is empty; give a text, or leave it out"),
        (["--steps", "2"], "--steps is of --screen; leave it out"),
        (["--screen", "--plain"], "--plain sweeps cells, and --screen does not"),
        (["--draws", "2"], "--draws is of --corruption noise"),
        (["--sigmas", "2"], "--sigmas is of --corruption noise"),
        (["--corruption", "mean", "--direction", "noise"], "--direction is of two runs, and --corruption mean has one"),
        (["--verify", "top:3"], "give --screen with it"),
        (["--screen", "--verify", "top:0"], "--verify is 'top:0'; give top:K, with a number K from 1, or all"),
        (["--screen", "--verify", "best"], "--verify is 'best'; give top:K, with a number K from 1, or all"),
        (["--screen", "--verify", "top:3", "--pairs", "7"], "--verify compares means over pairs, of 8 or more"),
        (["--pairs", "0"], "--pairs is 0; give a number from 1"),
        (["--window", "0"], "--window is 0; give a number from 1"),
        (["--draws", "0"], "--draws is 0; give a number from 1"),
        (["--margin", "nan"], "--margin is nan; give a number of nats"),
        (["--margin", "inf"], "--margin is inf; give a number of nats"),
        (["--sigmas=-3"], "--sigmas is -3.0; give a number above 0"),
        (["--sigmas", "0"], "--sigmas is 0.0; give a number above 0"),
        (["--sigmas", "nan"], "--sigmas is nan; give a number above 0"),
        (["--sigmas", "inf"], "--sigmas is inf; give a number above 0"),
        (["--bootstraps", "0"], "--bootstraps is 0; give a number from 1"),
        (["--layers", "2-1"], "--layers has '2-1'"),
        (["--positions", "nowhere"], "unknown position 'nowhere'"),
        ([*PATCHED, "--layers", "7"], "--layers has 7, and the model has the layers 0 to 2"),
        ([*PATCHED, "--site", "nowhere"], "unknown site 'nowhere'"),
        ([*PATCHED, "--site", "attn.hook_result"], "blocks.0.attn.hook_result"),
        ([*PATCHED, "--site", "attn.hook_pattern"], "it has no vector of its own for each of them"),
        ([*PATCHED, "--backend", "bridge", "--site", "attn.hook_cos"], "it has no vector of its own for each of them"),
        ([*PATCHED, "--corruption", "noise", "--sigmas", "1e39"], "its corrupted run gives nan; take --dtype float32"),
        (["--only-said"], "); give --no-only-said, or take other questions"),
    ],
)
def test_what_cannot_be_patched_is_refused_in_one_line(
    source: ModelSource, capsys: pytest.CaptureFixture, flags: list[str], message: str
) -> None:
    patch(source, *flags, status=2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line


def test_pairs_of_which_none_enters_leave_no_parts_behind(source: ModelSource) -> None:
    patch(source, "--only-said", *FEW, status=2)
    assert not list(Path("runs").rglob("*.parts*"))


def test_an_answer_of_no_tokens_is_refused() -> None:
    tokenizer = trained_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    config = patching.Config(clean="Lyon", corrupt="Nice", corrupt_answer="  ")
    with pytest.raises(InputError, match="--corrupt-answer '  ' has no tokens for this tokenizer"):
        patch_texts.text_pair_of(config, SimpleNamespace(tokenizer=tokenizer))  # type: ignore[arg-type]


def test_questions_that_are_put_in_other_words_are_no_pair(source: ModelSource, capsys: pytest.CaptureFixture) -> None:
    put = (("a", "France", "Lyon."), ("a", "Peru", ""), ("b", "Chad", ""), ("b", "Brazil", "Rio."))
    rows = [
        {"question": "Where?", "answer": name, "model_answer": name, "pair": pair, "context": context}
        for pair, name, context in put
    ]
    flags = ["--pair-column", "pair", "--positions", "last_q"]
    patch(source, *PATCHED, *flags, status=2, asked=written(Path("mixed.csv"), rows), n=len(rows))
    assert "can be patched: the two prompts are not put in the same words (2)" in capsys.readouterr().err


def test_a_name_of_one_row_is_of_no_pair(source: ModelSource, capsys: pytest.CaptureFixture) -> None:
    rows = [
        {"question": f"{name}?", "answer": name, "model_answer": name, "pair": f"pair {name}"} for name in COUNTRIES
    ]
    flags = ["--pair-column", "pair", "--positions", "last_q"]
    patch(source, *PATCHED, *flags, status=2, asked=written(Path("alone.csv"), rows), n=len(rows))
    told = "no other row that is asked has the pair's name (4); give both rows of a pair one name, and ask both"
    assert told in capsys.readouterr().err


def test_the_first_row_of_a_pair_is_the_clean_one(source: ModelSource) -> None:
    rows = [
        {"id": name, "question": f"{name}?", "answer": name, "model_answer": name, "pair": f"pair {place // 2}{space}"}
        for place, (name, space) in enumerate(zip(COUNTRIES, ("", " ", "  ", ""), strict=True))
    ]
    turned = [rows[place] for place in (1, 0, 3, 2)]
    flags = [*PATCHED, "--pair-column", "pair", "--positions", "last_q", "--overwrite"]
    for given in (rows, turned):
        patch(source, *flags, asked=written(Path("paired.csv"), given), n=len(rows))
        found = load_patched(folder_of(source, "paired") / "patch-pairs.nc").ids
        assert set(found) == {f"{given[place]['id']} / {given[place + 1]['id']}" for place in (0, 2)}


def test_questions_that_mark_no_subject_take_no_noise(source: ModelSource, capsys: pytest.CaptureFixture) -> None:
    rows = [
        {"question": f"{number}?", "answer": name, "model_answer": f"It is {name}"}
        for number, name in enumerate(COUNTRIES * (N // len(COUNTRIES)))
    ]
    patch(source, *PATCHED, "--corruption", "noise", status=2, asked=written(Path("bare.csv"), rows))
    assert "the question marks no subject to put noise on; take --corruption question" in capsys.readouterr().err


def test_results_are_drawn_again_and_single_pairs_are_not(source: ModelSource) -> None:
    patch(source, *PATCHED, *FEW, whole=True)
    drawn = contents(folder_of(source))
    assert "patch-pairs.nc" in drawn
    assert cli.main(["figures"]) == 0
    assert contents(folder_of(source)) == drawn


@pytest.mark.parametrize("verify", ["top:3", "all"])
def test_a_screened_map_has_the_exact_values_of_its_best_cells_or_of_all(
    source: ModelSource,
    verify: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    patch(source, *PATCHED, *TWO)
    assert "estimated: " not in caplog.text
    exactly: list[bool] = []
    whole = patched_pairs

    def counted(*given: Any, **flags: Any) -> PatchedPairs:
        exactly.append(given[4].screen_steps == 0)
        return whole(*given, **flags)

    monkeypatch.setattr("interp.patching.pair_patching.patched_pairs", counted)
    capsys.readouterr()
    patch(source, *PATCHED, *TWO, "--screen", "--verify", verify)
    assert "estimated: " in caplog.text
    told = capsys.readouterr().out.splitlines()[-1]
    exact = Heatmap.load(folder_of(source) / "patch-score.nc").data["value"].values
    screened = Heatmap.load(folder_of(source) / "patch-screened-score.nc").data
    estimates, found = screened["value"].values, screened["exact"].values
    known, n = np.isfinite(found), np.isfinite(estimates).sum()
    np.testing.assert_allclose(found[known], exact[known], atol=1e-5)
    assert np.nanmax(np.abs(estimates - exact)) > 1e-5, "they are estimates"
    assert told.startswith(f"{known.sum()} of {n} cells patched exactly: ")
    assert "the median exact effect is" in told
    correlation = (
        f"Spearman correlation of estimates and exact values {spearmanr(estimates[known], exact[known])[0]:.2f}"
    )
    assert (correlation in told) == (verify == "all"), "of three cells that were chosen as the best it says nothing"
    assert told.endswith("not chosen are estimates, and not verified") == (verify != "all")
    if verify == "all":
        assert known.sum() == n
        assert exactly == [False], "what was patched for the exact map is not patched again"
        first, second = (np.nan_to_num(np.abs(each)).argmax() for each in (estimates, exact))
        assert f"{float(first == second):.0%} of the top 1 by exact effects are in the top 1 by estimates" in told
    else:
        assert known.sum() == 3
        assert exactly == [False, True]
        assert np.abs(estimates)[known].min() >= np.nanmax(np.abs(estimates)[~known])
        assert "by exact effects" not in told


@pytest.mark.parametrize("verify", ["top:3", "all"])
def test_where_too_few_pairs_enter_nothing_is_verified_which_is_said(
    source: ModelSource, verify: str, capsys: pytest.CaptureFixture
) -> None:
    rows = [
        {
            "id": f"q{index}",
            "question": "Where?",
            "subject": "Where",
            "answer": name,
            "model_answer": f"It is in {name}",
        }
        for index, name in enumerate(COUNTRIES[:2] * 3)
    ]
    few = written(Path("few.csv"), rows)
    patch(source, *PATCHED, *TWO, "--screen", "--verify", verify, asked=few, n=len(rows))
    *_, pairs, told = capsys.readouterr().out.splitlines()
    remedy = "ask more questions, --n, or let more pairs enter, --margin"
    assert pairs == f"3 pairs; a cell needs 8 to have a value ({remedy})"
    assert told == "nothing was verified: 3 pairs entered, and over fewer than 8 no cell has a value"
    patch(source, *PATCHED, *TWO, "--pairs", "2", asked=few, n=len(rows))
    assert "2 pairs; a cell needs 8 to have a value (give more --pairs)" in capsys.readouterr().out


def test_an_output_path_that_is_not_the_models_own_is_refused(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = output_path.output_logits
    monkeypatch.setattr("interp.patching.pair_patching.output_logits", lambda *given: 2 * whole(*given))
    patch(source, *PATCHED, *FEW, status=2)
    assert "do not give this model's own output" in capsys.readouterr().err.splitlines()[-1]
    assert not (folder_of(source) / "patch.nc").exists()
