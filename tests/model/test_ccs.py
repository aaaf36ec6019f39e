"""Contrast pairs of a tiny model, and the command that probes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from analyses import cli
from interp.activations.store import ActivationStore
from interp.errors import InputError
from interp.examples import Span
from interp.models.hooked_model import HookedModel
from interp.models.model_sources import ModelSource
from interp.patching.readouts import VERDICT_QUESTION
from interp.positions import position_table
from interp.probes import contrast_pairs as contrast_pairs_module
from interp.probes.contrast_pairs import ContrastPair, contrast_pairs, verdict_logits
from interp.probes.contrast_probes import METHODS, RANDOM
from interp.results.heatmap import Heatmap
from tests.random_answers import random_answers
from tests.row_files import written

pytestmark = pytest.mark.usefixtures("elsewhere")

END = 1
FLAGS = ["--folds", "3", "--starts", "2", "--directions", "10"]


@pytest.fixture(scope="module")
def pairs(tokenizer: PreTrainedTokenizerFast) -> list[ContrastPair]:
    answers = [
        replace(answer, token_ids=(*answer.token_ids, END), prompt=answer.generated, spans={"question": Span(0, 1)})
        for answer in random_answers(5)
    ]
    return contrast_pairs(tokenizer, answers, {END}, "chat")


def test_a_pair_is_the_conversation_with_either_reply(
    tokenizer: PreTrainedTokenizerFast, pairs: list[ContrastPair]
) -> None:
    for answer, pair in zip(random_answers(5), pairs, strict=True):
        asked = f"<|im_end|>\n<|im_start|>user\n{VERDICT_QUESTION}<|im_end|>\n<|im_start|>assistant\n"
        conversation = (*answer.token_ids, *tokenizer(asked)["input_ids"])
        assert pair.asked.tokens == conversation, "the answer's end is there once"
        for half, word in ((pair.yes, "Yes"), (pair.no, "No")):
            assert half.token_ids == (*conversation, *tokenizer(word)["input_ids"])
            assert half.text == word
            assert half.question == answer.question
            assert (half.n_prompt, half.ended) == (len(conversation), False)
            assert (half.exact, half.prompt, half.spans) == (None, None, {}), "those of the answer are not its own"
            assert position_table([half], ["-1"])["token"].item() == len(half.token_ids) - 1


def test_a_base_model_is_asked_on_a_line_of_its_own(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    (answer,) = random_answers(1)
    with pytest.raises(InputError, match="spells Yes and No with the same first token"):
        contrast_pairs(tokenizer, [answer], {END}, "base")
    monkeypatch.setattr("interp.patching.readouts.VERDICTS", ("located", "in"))
    (pair,) = contrast_pairs(tokenizer, [answer], {END}, "base")
    asked = tokenizer(f"\nQ: {VERDICT_QUESTION}\nA:")["input_ids"]
    assert pair.no.token_ids == (*answer.token_ids, *asked, *tokenizer(" in")["input_ids"])


@pytest.mark.parametrize("at_once", [2, 16])
def test_the_models_own_verdict_is_the_difference_of_its_logits(
    source: ModelSource,
    model: HookedModel,
    tokenizer: PreTrainedTokenizerFast,
    pairs: list[ContrastPair],
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contrast_pairs_module, "RUNS_AT_ONCE", at_once)
    network: Any = AutoModelForCausalLM.from_pretrained(source.folder, dtype=torch.float32).eval()
    yes, no = (tokenizer(word)["input_ids"][0] for word in ("Yes", "No"))
    expected = []
    for pair in pairs:
        with torch.inference_mode():
            logits = network(torch.tensor([pair.asked.tokens])).logits[0, -1]
        expected.append(float(logits[yes] - logits[no]))
    np.testing.assert_allclose(verdict_logits(model, [pair.asked for pair in pairs]), expected, atol=1e-4)


def test_verdicts_that_do_not_fit_together_are_read_in_halves(
    model: HookedModel, pairs: list[ContrastPair], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [pair.asked for pair in pairs]
    expected, whole = verdict_logits(model, asked), contrast_pairs_module.batch_activations

    def little(model: HookedModel, sequences: Sequence[Sequence[int]], *rest: Any) -> Any:
        if len(sequences) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(model, sequences, *rest)

    monkeypatch.setattr(contrast_pairs_module, "batch_activations", little)
    np.testing.assert_allclose(verdict_logits(model, asked), expected, atol=1e-5)


def answers_that_are_there(folder: Path, n: int = 90) -> Path:
    names = ("France", "Brazil", "Chad", "Peru")
    rows = [
        {
            "question": f"{number}?",
            "answer": names[number % 4] if number % 3 else "Chad",
            "model_answer": f"It is {names[number % 4]}",
        }
        for number in range(n)
    ]
    return written(folder / "said.csv", rows)


def ccs(source: ModelSource, *flags: str, n: int = 90, status: int = 0) -> None:
    path = answers_that_are_there(Path(), n)
    common = ["--model", str(source.folder), "--dataset", str(path), "--n", str(n), "--dtype", "float32"]
    assert cli.main(["ccs", *common, "--max-new-tokens", "6", *FLAGS, *flags]) == status


def test_a_map_of_methods_is_drawn_and_made_once(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    ccs(source)
    told = capsys.readouterr().out
    folder = Path("figures") / source.name / "said"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"ccs.nc", "ccs.pdf", "ccs.png"}
    assert all(str(folder / name) in told for name in before)
    data = Heatmap.load(folder / "ccs.nc").data
    assert data["position"].values.tolist() == [*METHODS, RANDOM]
    assert bool(data["value"].notnull().all())
    assert (data["n"] == 90).all()
    assert json.loads(data.attrs["counts"])["asked"] == 90
    low, high = json.loads(data.attrs["verdict"])[1:]
    assert f"[{low:.3f}, {high:.3f}]" in told
    assert f"Yes to {data.attrs['says_yes']:.0%} of 90 answers" in told
    assert "the model's own Yes or No" in data.attrs["variant"]

    with monkeypatch.context() as reusing:
        reusing.setattr("interp.models.loading.load_model", None)
        ccs(source)
        assert cli.main(["figures"]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    ccs(source, "--starts", "3", status=2)
    assert "is the result of another run (starts: 2 there, 3 here)" in capsys.readouterr().err
    stores = [ActivationStore.read(path.parent) for path in Path("runs").rglob("store.json")]
    assert [store.positions for store in stores] == [("-1",)] * 2, "one of each half, and another split takes the same"
    monkeypatch.setattr("interp.activations.capture.CaptureWorker", None)
    ccs(source, "--group", "answer", "--folds", "2")
    assert (folder / "ccs-group_answer.png").is_file()


def test_too_few_of_a_class_are_refused_before_anything_is_captured(
    source: ModelSource, capsys: pytest.CaptureFixture
) -> None:
    ccs(source, n=30, status=2)
    assert "22 answers are right and 8 are wrong, and a probe needs 20 of either" in capsys.readouterr().err
    assert not list(Path().rglob("store.json"))
