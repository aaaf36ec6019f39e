"""The lens on tiny models: against the model itself with a stream put in at its end, and as a command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from transformers import PreTrainedTokenizerFast

from analyses import cli
from interp.activations.in_memory import InMemory, captured_in_memory
from interp.errors import InputError
from interp.examples import Answer, Question, Span
from interp.lenses import lens_values as lenses_of_sets
from interp.lenses.lens import LogitLens
from interp.lenses.lens_targets import TARGETS, NoTarget, gold_token, target_tokens, without_token
from interp.lenses.lens_values import lens_values, require_own_output
from interp.lenses.tuned_lens import TunedLens
from interp.models.hooked_model import HookedModel
from interp.models.logit_readings import UNASKED
from interp.models.model_sources import ModelSource
from interp.models.tokens import decoded_text
from interp.positions import MISSING, position_table
from interp.results.example_values import ExampleValues
from interp.results.heatmap import Heatmap
from tests.model.test_analyses import asked, said_rows
from tests.random_answers import random_answers
from tests.row_files import written

POSITIONS = ("last_q", "exact_answer_first", "-2", "-1")
ANSWERS = random_answers(7)


def captured(model: HookedModel) -> tuple[InMemory, np.ndarray]:
    table = position_table(ANSWERS, list(POSITIONS))
    return captured_in_memory(model, ANSWERS, table), table["token"].values


def random_targets(tokens: np.ndarray) -> np.ndarray:
    targets = np.random.default_rng(0).integers(2, 380, (len(TARGETS), *tokens.shape))
    # A token of an answer is asked about the same, by whatever name it goes.
    targets[2] = np.random.default_rng(1).integers(2, 380, 64)[tokens]
    targets[:2] = targets[:2, :, :1]
    targets[:, tokens == MISSING] = NoTarget.NO_POSITION
    return targets


def stopped_logits(model: HookedModel, answer: Answer, layer: int) -> torch.Tensor:
    """The logits of a model whose last block gives out what block `layer` does."""
    ids = torch.tensor([list(answer.token_ids)])
    kept: dict[str, torch.Tensor] = {}

    def keep(stream: torch.Tensor, hook: object) -> None:
        kept["stream"] = stream.clone()

    def put(stream: torch.Tensor, hook: object) -> torch.Tensor:
        return kept["stream"]

    last = model.cfg.n_layers - 1
    hooks = [(f"blocks.{layer}.hook_resid_post", keep), (f"blocks.{last}.hook_resid_post", put)]
    with torch.inference_mode():
        logits: torch.Tensor = model.run_with_hooks(ids, fwd_hooks=hooks)[0].double()
    return logits


def test_a_lens_reads_what_the_model_would_say_if_it_stopped_there(family_model: HookedModel) -> None:
    store, tokens = captured(family_model)
    targets = random_targets(tokens)
    found = lens_values(family_model, LogitLens(), store, tokens, targets)
    require_own_output(family_model, ANSWERS, tokens, store)
    for row, answer in enumerate(ANSWERS):
        own = stopped_logits(family_model, answer, family_model.cfg.n_layers - 1).log_softmax(-1)
        for layer in store.layers:
            said = stopped_logits(family_model, answer, layer).log_softmax(-1)
            for column, token in enumerate(tokens[row]):
                cell = found.isel(layer=layer, position=column, example=row)
                if token == MISSING:
                    assert np.isnan(cell["entropy"])
                    assert np.isnan(cell["log_probability"]).all()
                    assert (cell["rank"] == -1).all()
                    continue
                there, asked_for = said[token], targets[:, row, column]
                np.testing.assert_allclose(cell["log_probability"], there[asked_for], atol=2e-4)
                np.testing.assert_allclose(cell["entropy"], -(there.exp() * there).sum(), atol=2e-4)
                divergence = (own[token].exp() * (own[token] - there)).sum()
                np.testing.assert_allclose(cell["divergence"], divergence, atol=5e-4)
                ahead = [(int((there > value + 1e-4).sum()), int((there > value - 1e-4).sum())) for value in there]
                for rank, target in zip(cell["rank"].values, asked_for, strict=True):
                    assert ahead[target][0] <= rank <= ahead[target][1]
                assert there[int(cell["top"])] > there.max() - 1e-4
    last = found.isel(layer=-1)
    assert float(last["divergence"].max()) < 1e-4, "the last layer's is the model's own output"
    assert float(found.isel(layer=0)["divergence"].max()) > 0.01


def test_transformer_lens_reads_the_same(model: HookedModel) -> None:
    peer = pytest.importorskip("transformer_lens.tools.analysis.logit_lens", reason="of TransformerLens 4").logit_lens
    store, tokens = captured(model)
    targets = random_targets(tokens)
    found = lens_values(model, LogitLens(), store, tokens, targets)
    for row, answer in enumerate(ANSWERS):
        for column in np.flatnonzero(tokens[row] != MISSING):
            theirs = peer(
                model,
                torch.tensor([list(answer.token_ids)]),
                positions=int(tokens[row, column]),
                targets=[int(token) for token in targets[:, row, column]],
                return_type="log_probs",
            )
            ours = found.isel(position=column, example=row)
            # Its first entry is the embedding, and its second the stream after block 0.
            np.testing.assert_allclose(ours["log_probability"].T, theirs.values[1:, 0], atol=1e-4)
            np.testing.assert_array_equal(ours["rank"].T, theirs.readout.target_ranks[1:, 0])
            np.testing.assert_allclose(ours["entropy"], theirs.readout.entropy[1:, 0], atol=1e-4)


def test_how_many_rows_are_read_at_once_does_not_matter(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tokens = captured(model)
    whole = lens_values(model, LogitLens(), store, tokens, random_targets(tokens))
    reduced: list[int] = []
    readings_of = lenses_of_sets.readings_of

    def counted(*args: torch.Tensor) -> object:
        reduced.append(len(args[0]))
        return readings_of(*args)

    monkeypatch.setattr(lenses_of_sets, "readings_of", counted)
    for name, unembedded in (("CACHE_BYTES", lenses_of_sets.block_of(model)), ("CPU_BLOCK_BYTES", 1)):
        monkeypatch.setattr(lenses_of_sets, name, 1)
        assert lenses_of_sets.block_of(model) == unembedded
        again = lens_values(model, LogitLens(), store, tokens, random_targets(tokens))
        xr.testing.assert_allclose(again, whole, atol=1e-4)
    assert set(reduced) == {1}


def test_a_token_of_two_names_is_read_once(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tokens = captured(model)
    read: list[int] = []
    block_readings = lenses_of_sets.block_readings

    def counted(*args: object) -> dict[str, np.ndarray]:
        read.append(args[3].shape[1])
        return block_readings(*args)

    monkeypatch.setattr(lenses_of_sets, "block_readings", counted)
    lens_values(model, LogitLens(), store, tokens, random_targets(tokens))
    distinct = sum(len(set(row) - {MISSING}) for row in tokens.tolist())
    assert sum(read) == distinct < (tokens != MISSING).sum()


def test_an_interrupted_run_goes_on_to_the_same_values(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store, tokens = captured(model)
    targets = random_targets(tokens)
    whole = lens_values(model, LogitLens(), store, tokens, targets)
    column_values = lenses_of_sets.column_values

    def killed(*args: object) -> xr.Dataset:
        if args[3] == 2:
            raise KeyboardInterrupt
        return column_values(*args)

    with monkeypatch.context() as interrupted:
        interrupted.setattr(lenses_of_sets, "column_values", killed)
        with pytest.raises(KeyboardInterrupt):
            lens_values(model, LogitLens(), store, tokens, targets, parts=tmp_path)
    first, second = sorted(tmp_path.glob("*.nc"))
    second.write_bytes(second.read_bytes()[:100])
    before = first.stat().st_mtime_ns
    resumed = lens_values(model, LogitLens(), store, tokens, targets, parts=tmp_path)
    xr.testing.assert_identical(resumed, whole)
    assert bytes(resumed.to_netcdf(engine="h5netcdf")) == bytes(whole.to_netcdf(engine="h5netcdf"))
    assert first.stat().st_mtime_ns == before, "what is finished is not read again"
    assert "is damaged, and is made again" in caplog.text


def test_stores_that_do_not_fit_are_refused(model: HookedModel) -> None:
    store, tokens = captured(model)
    cut = replace(store, layers=store.layers[:-1], activations=store.activations[:-1])
    with pytest.raises(InputError, match="take --layers with the last one"):
        lens_values(model, LogitLens(), cut, tokens, random_targets(tokens))
    narrow = replace(store, activations=store.activations[..., :-1])
    with pytest.raises(InputError, match=r"31 wide, the model's residual stream 32"):
        lens_values(model, LogitLens(), narrow, tokens, random_targets(tokens))
    other = replace(store, activations=store.activations.flip(2))
    with pytest.raises(InputError, match=r"do not give this model's output; they are of another model"):
        require_own_output(model, ANSWERS, tokens, other)


@pytest.mark.parametrize("row", [0, len(ANSWERS) - 1])
@pytest.mark.parametrize("value", [0.0, torch.nan])
def test_answers_all_over_a_store_are_held_to_the_models_output(model: HookedModel, row: int, value: float) -> None:
    store, tokens = captured(model)
    broken = store.activations.clone()
    broken[-1, :, row] = value
    with pytest.raises(InputError, match=f"the stored activations of q{row} do not give this model's output"):
        require_own_output(model, ANSWERS, tokens, replace(store, activations=broken))


def test_of_few_answers_all_are_held_to_the_models_output(model: HookedModel) -> None:
    store, tokens = captured(model)
    require_own_output(model, ANSWERS[:2], tokens[:2], store)
    doubled = replace(store, activations=store.activations[:, :, [0, 0]], examples=store.examples[:2])
    with pytest.raises(InputError, match="the stored activations of q1 do not give"):
        require_own_output(model, ANSWERS[:2], tokens[:2], doubled)


def test_an_output_path_that_is_not_the_models_is_refused(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    store, tokens = captured(model)
    output_logits = lenses_of_sets.output_logits
    monkeypatch.setattr(lenses_of_sets, "output_logits", lambda *args: output_logits(*args) / 2)
    with pytest.raises(InputError, match="final norm and unembedding do not give this model's own output"):
        require_own_output(model, ANSWERS, tokens, store)


def test_an_answer_that_has_no_position_is_left_out(model: HookedModel) -> None:
    answers = [answer for answer in ANSWERS if answer.exact is None]
    assert answers, "the first that would be checked"
    ordered = [*answers, *(answer for answer in ANSWERS if answer.exact is not None)]
    table = position_table(ordered, ["exact_answer_first"])
    store, tokens = captured_in_memory(model, ordered, table), table["token"].values
    require_own_output(model, ordered, tokens, store)
    found = lens_values(model, LogitLens(), store, tokens, random_targets(tokens))
    assert np.isnan(found["entropy"].values[:, 0, : len(answers)]).all()
    assert (found["top"].values[:, 0, : len(answers)] == UNASKED).all(), "nor is it a lens that gives no numbers"
    assert np.isfinite(found["entropy"].values[:, 0, len(answers) :]).all()


def answer_of(tokenizer: PreTrainedTokenizerFast, said: str, exact: str | None, gold: str, *, correct: bool) -> Answer:
    ids = tokenizer(said)["input_ids"]
    start = said.index(exact) if exact else 0
    return Answer(
        question=Question("q", "?", gold, (), None, "test", "q"),
        token_ids=(5, 6, *ids),
        n_prompt=2,
        generated=decoded_text(tokenizer, ids),
        ended=False,
        exact=Span(start, start + len(exact)) if exact else None,
        correct=correct,
    )


def test_the_gold_answer_is_spelt_in_the_exact_answers_place(tokenizer: PreTrainedTokenizerFast) -> None:
    first: Callable[[str], int] = lambda text: tokenizer(text)["input_ids"][0]  # noqa: E731
    after_space = answer_of(tokenizer, "It is Brazil", "Brazil", "France", correct=False)
    assert gold_token(tokenizer, after_space) == first(" France")
    at_the_start = answer_of(tokenizer, "Brazil", "Brazil", "France", correct=False)
    assert gold_token(tokenizer, at_the_start) == first("France") != first(" France")
    by_another_name = replace(answer_of(tokenizer, "In 日本", "日本", "Japan", correct=True), named=("Japan",))
    ids = by_another_name.token_ids
    place = 2 + by_another_name.generated.first_token(by_another_name.exact)
    assert gold_token(tokenizer, by_another_name) == ids[place], "a right answer's own name for it"
    by_the_rule_only = answer_of(tokenizer, "In France, near Brazil", "Brazil", "France", correct=True)
    assert gold_token(tokenizer, by_the_rule_only) == first(" France"), "by 'contains' it is right"
    assert gold_token(tokenizer, answer_of(tokenizer, "No", None, "x", correct=False)) == NoTarget.NO_EXACT_ANSWER
    empty = answer_of(tokenizer, "It is Brazil", "Brazil", "", correct=False)
    assert gold_token(tokenizer, empty) == NoTarget.GOLD_CANNOT_BE_SPELT


def test_targets_stand_in_every_cell(tokenizer: PreTrainedTokenizerFast) -> None:
    answers = [
        answer_of(tokenizer, "It is Brazil, so", "Brazil", "France", correct=False),
        answer_of(tokenizer, "No", None, "France", correct=False),
    ]
    tokens = position_table(answers, ["last_q", "exact_answer_first", "-1"])["token"].values
    found = target_tokens(tokenizer, answers, tokens)
    ids = answers[0].token_ids
    place = tokens[0, 1]
    assert found[0, 0].tolist() == [ids[place]] * 3
    assert found[2, 0].tolist() == [ids[2], ids[place + 1], NoTarget.NOTHING_FOLLOWS]
    assert found[:, 1, 1].tolist() == [NoTarget.NO_POSITION] * 3
    assert found[0, 1, 0] == NoTarget.NO_EXACT_ANSWER


def test_why_there_is_no_token_is_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    answers = [
        answer_of(tokenizer, "It is Brazil, so", "Brazil", "", correct=False),
        answer_of(tokenizer, "It is Brazil, so", "Brazil", "France", correct=False),
        answer_of(tokenizer, "No", None, "France", correct=False),
    ]
    tokens = position_table(answers, ["last_q", "exact_answer_first", "-1"])["token"].values
    assert without_token(target_tokens(tokenizer, answers, tokens)) == {
        "answer": [{"no_exact_answer": 1}, {}, {"no_exact_answer": 1}],
        "gold": [
            {"gold_cannot_be_spelt": 1, "no_exact_answer": 1},
            {"gold_cannot_be_spelt": 1},
            {"gold_cannot_be_spelt": 1, "no_exact_answer": 1},
        ],
        "next": [{}, {}, {"nothing_follows": 3}],
    }


def test_a_token_that_no_answer_has_is_refused(
    source: ModelSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"{number}?", "answer": "Chad", "model_answer": "It is so"} for number in range(8)]
    flags = ("--quantities", "gold-rank", "--positions", "last_q", "--n", "8")
    asked(source, written(tmp_path / "questions.csv", rows), *flags, command="lens", status=2)
    assert "gold-rank is of a token that no answer has at any position (no exact answer)" in capsys.readouterr().err


@pytest.fixture(scope="module")
def drawn(source: ModelSource, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, run once over answers that are given."""
    folder = tmp_path_factory.mktemp("lens")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        questions = written(folder / "questions.csv", said_rows())
        flags = ("--quantities", "answer-rank,kl", "--bootstraps", "50", "--n", "120")
        asked(source, questions, *flags, command="lens")
    return folder


def test_the_command_draws_every_map_that_is_asked_for(
    drawn: Path, source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(drawn)
    names = {path.name for path in Path("figures").rglob("*.*")}
    maps = [f"lens-{quantity}{of}" for quantity in ("answer-rank", "kl") for of in ("", "-correct", "-wrong")]
    maps += ["lens-answer-rank-difference", "lens-kl-difference"]
    kept = {f"lens-{quantity}-examples.nc" for quantity in ("answer-rank", "kl")}
    assert names == {f"{name}.{suffix}" for name in maps for suffix in ("nc", "pdf", "png")} | kept
    (path,) = Path("figures").rglob("lens-kl.nc")
    heatmap = Heatmap.load(path)
    assert heatmap.data.attrs["lens"] == "logit"
    assert float(heatmap.data["value"].isel(layer=-1).max()) < 1e-3
    for name, subset in (("lens-kl", "all"), ("lens-kl-wrong", "wrong"), ("lens-answer-rank-correct", "correct")):
        of = Heatmap.load(path.with_name(f"{name}.nc"))
        examples = ExampleValues.load(path.with_name(of.data.attrs["examples"]), subset)
        (everyone,) = examples.drawn(np.ones((1, len(examples.ids)), dtype=np.float32))
        # Of an even number the map's median is between the two in the middle, and a draw's is the lower one.
        away = np.abs(everyone - of.data["value"].values)
        assert np.nanmax(away / of.data["value"].values) < (1e-4 if "kl" in name else 0.2)
    assert [path.name for path in Path("runs").rglob("position-*.nc")] == [], "finished parts are cleared away"

    monkeypatch.setattr("interp.models.loading.load_model", None)
    (values,) = Path("runs").rglob("lens-values-*/values.nc")
    left, unlink = values.with_name("position-00.nc"), Path.unlink
    left.touch()  # As a run leaves it that is killed once the values are there.

    def unlinked_by_two(path: Path, **how: bool) -> None:
        if path == left:
            unlink(path)
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", unlinked_by_two)
    asked(source, drawn / "questions.csv", "--quantities", "entropy", "--of", "all", "--n", "120", command="lens")
    assert not left.exists()
    assert "mean entropy, nats" in capsys.readouterr().out, "other maps are of the same readings"
    monkeypatch.undo()
    monkeypatch.chdir(drawn)
    first = ("--quantities", "entropy", "--of", "all", "--n", "120", "--first", "40")
    asked(source, drawn / "questions.csv", *first, command="lens")
    (path,) = Path("figures").rglob("lens-entropy-first40.nc")
    assert int(Heatmap.load(path).data["n"].max()) == 40
    assert Heatmap.load(path).data.attrs["variant"] == "the first 40 answers"
    whole = ExampleValues.load(path.with_name("lens-entropy-examples.nc"))
    np.testing.assert_allclose(
        ExampleValues.load(path.with_name("lens-entropy-first40-examples.nc")).values, whole.values[:, :40], rtol=1e-4
    )
    assert cli.main(["figures"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--quantities", "entropie"), "unknown quantity 'entropie'; nearest: entropy"),
        (("--of", "right"), "unknown subset 'right'"),
        (("--bootstraps", "0"), "--bootstraps is 0; give a number from 1"),
        (("--first", "10"), "--first is 10; give a number from 20"),
        (("--layers", "0-1"), "--layers ends at 1, not 2; take --layers with the last one"),
        (
            ("--layers", "0,2"),
            "answer-settled is of a layer and all above it, and --layers 0,2 leaves some of these out",
        ),
        (("--layers", "0,2"), "give --layers 0-2, or --quantities without it"),
    ],
)
def test_the_command_refuses_in_one_line(
    drawn: Path,
    source: ModelSource,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    flags: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(drawn)
    made = set(Path("runs").rglob("*"))
    asked(source, drawn / "questions.csv", "--n", "120", *flags, command="lens", status=2)
    assert message in capsys.readouterr().err
    assert set(Path("runs").rglob("*")) == made, "nothing is captured before"


def test_an_untrained_tuned_lens_is_the_logit_lens(
    drawn: Path, source: ModelSource, model: HookedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(drawn)
    untrained = TunedLens.untrained(model.cfg.n_layers, model.cfg.d_model)
    of_model = {"model": source.name, "revision": source.revision, "weights": "raw"}
    replace(untrained, record=of_model).save(drawn / "untrained.safetensors")
    flags = ("--quantities", "kl", "--of", "all", "--bootstraps", "50", "--n", "120")
    asked(source, drawn / "questions.csv", *flags, "--lens", "tuned:untrained.safetensors", command="lens")
    (tuned,) = Path("figures").rglob("lens-kl-tuned.nc")
    logit = Heatmap.load(tuned.with_name("lens-kl.nc"))
    np.testing.assert_array_equal(Heatmap.load(tuned).data["value"], logit.data["value"])
    assert Heatmap.load(tuned).data.attrs["lens"] == "tuned"
    # Of the same translators, whose values are there already.
    replace(untrained, record=of_model | {"revision": "another"}).save(drawn / "other.safetensors")
    asked(
        source,
        drawn / "questions.csv",
        *flags,
        "--lens",
        "tuned:other.safetensors",
        "--overwrite",
        command="lens",
        status=2,
    )
    assert "this tuned lens is of tiny-llama with revision another" in capsys.readouterr().err
    asked(source, drawn / "questions.csv", *flags, "--lens", "tunde:x", command="lens", status=2)
    assert "no lens 'tunde:x'; write logit, or tuned:PATH" in capsys.readouterr().err


def test_where_answers_settle_is_told(
    drawn: Path, source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(drawn)
    flags = ("--quantities", "answer-settled", "--n", "120", "--bootstraps", "50")
    asked(source, drawn / "questions.csv", *flags, command="lens")
    _, told = capsys.readouterr().out.split("layer from which on the answer is the top token: ")
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.endswith(" %")}
    (path,) = Path("figures").rglob("lens-answer-settled-correct.nc")
    right = Heatmap.load(path).data.isel(layer=-1)
    for name, words in lines.items():
        assert int(words[1]) == int(right["n"].sel(position=name))
        never = 100 * (1 - float(right["value"].sel(position=name)))
        assert float(words[words.index("%") - 1]) == pytest.approx(never, abs=0.06)
    assert "last_q" in lines


def test_gold_answers_that_cannot_be_spelt_are_told_of(
    drawn: Path, source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(drawn)
    monkeypatch.setattr("interp.lenses.lens_targets.token_in_place", lambda *_: None)
    flags = ("--quantities", "gold-rank,kl", "--of", "all,wrong", "--n", "120", "--policy", "paper")
    asked(source, drawn / "questions.csv", *flags, "--bootstraps", "50", command="lens")
    told = capsys.readouterr().out
    n_wrong = sum(row["answer"] not in row["model_answer"] for row in said_rows())
    assert f"left out of gold-*: {n_wrong} answers, where the correct answer cannot be spelt" in told
    (path,) = Path("figures").rglob("lens-gold-rank-wrong-paper.nc")
    assert json.loads(Heatmap.load(path).data.attrs["missing"])["last_q"] == {"gold_cannot_be_spelt": n_wrong}
    n_cells = Heatmap.load(path).data["value"].size
    reason = f"no cell has a value, no example has both position and token ({n_cells})"
    assert f"lens-gold-rank-wrong-paper: {reason}" in told
    (path,) = Path("figures").rglob("lens-kl-wrong-paper.nc")
    assert "gold" not in Heatmap.load(path).data.attrs["missing"]
