"""What a model generates: greedy or drawn, interrupted or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from interp.answers.continuations import continued, takes_padding
from interp.answers.generation import PADDED, Respondent
from interp.errors import InputError
from interp.models.hooked_model import HookedModel, Sampling, context_length, takes_prefixes

PROMPTS = {f"p{index}": (5 + index, 20, 30, *range(40, 40 + index % 3)) for index in range(9)}
Words = dict[str, tuple[int, ...]]


def drawn(
    model: HookedModel, journals: Path, sampling: Sampling | None, *, name: str = "sample", batch_size: int = 2
) -> Words:
    respondent = Respondent(model, batch_size, journals)
    return respondent.continuations(name, PROMPTS, ends={1}, max_new_tokens=5, sampling=sampling)


def test_a_seed_decides_what_is_drawn(model: HookedModel, tmp_path: Path) -> None:
    first = drawn(model, tmp_path / "first", Sampling(1.0, 0))
    torch.manual_seed(7)
    assert drawn(model, tmp_path / "again", Sampling(1.0, 0)) == first, "whatever torch has drawn before"
    assert drawn(model, tmp_path / "seed", Sampling(1.0, 1)) != first
    assert drawn(model, tmp_path / "name", Sampling(1.0, 0), name="sample-0001") != first, "another sample"


def test_prompts_that_leave_no_room_are_refused(model: HookedModel, tmp_path: Path) -> None:
    most = context_length(model)
    assert most is not None
    respondent, fits = Respondent(model, 2, tmp_path), most - 3
    prompts = {"short": (5,), "long": (5,) * (fits + 1)}
    message = f"prompt of long has {fits + 1} tokens, to which come up to 3 .* reads at most {most}"
    with pytest.raises(InputError, match=message):
        respondent.continuations("sample", prompts, ends={1}, max_new_tokens=3)
    assert not list(tmp_path.iterdir())
    said = respondent.continuations("sample", {"long": (5,) * fits}, ends=set(), max_new_tokens=3)
    assert len(said["long"]) == 3


def test_drawing_leaves_torch_as_it_was(model: HookedModel, tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    drawn(model, tmp_path, Sampling(1.0, 0))
    assert torch.equal(torch.rand(3), expected)


def test_an_interrupted_run_draws_the_same(model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(model, tmp_path / "whole", Sampling(1.0, 0))
    lines = (tmp_path / "whole" / "sample.jsonl").read_text()
    for kept in range(0, len(lines), 61):
        journal = tmp_path / f"cut-{kept}" / "sample.jsonl"
        journal.parent.mkdir()
        journal.write_text(lines[:kept])
        assert drawn(model, journal.parent, Sampling(1.0, 0)) == whole
    monkeypatch.setattr("interp.answers.generation.continued", None)
    for journal in tmp_path.glob("cut-*"):
        assert drawn(model, journal, Sampling(1.0, 0)) == whole, "a line that was cut short takes no other with it"


@pytest.mark.parametrize("sampling", [None, Sampling(1.0, 0)], ids=["greedy", "drawn"])
def test_prompts_of_about_one_length_are_answered_together(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampling: Sampling | None
) -> None:
    prompts = {f"p{row}": tuple(range(20, 20 + length)) for row, length in enumerate([9, 4, 7, 5, 6, 4])}
    batches: list[list[int]] = []

    def noted(model: HookedModel, batch: list[tuple[int, ...]], **how: Any) -> list[tuple[int, ...]]:
        batches.append([len(prompt) for prompt in batch])
        return continued(model, batch, **how)

    monkeypatch.setattr("interp.answers.generation.continued", noted)
    Respondent(model, 2, tmp_path).continuations("some", prompts, ends=(), max_new_tokens=1, sampling=sampling)
    assert batches == ([[4, 4], [5, 6], [7, 9]] if takes_padding(model) else [[4, 4], [5], [6], [7], [9]])


def test_no_prompt_is_padded_to_much_more_than_its_length(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of lengths that grow by less than half from one to the next, which at last are far from the first."""
    prompts = {f"p{row}": tuple(range(20, 20 + length)) for row, length in enumerate([4, 5, 6, 7, 9, 12])}
    batches: list[list[int]] = []

    def noted(model: HookedModel, batch: list[tuple[int, ...]], **how: Any) -> list[tuple[int, ...]]:
        batches.append([len(prompt) for prompt in batch])
        return continued(model, batch, **how)

    monkeypatch.setattr("interp.answers.generation.continued", noted)
    Respondent(model, 9, tmp_path).continuations("some", prompts, ends=(), max_new_tokens=1)
    assert all(max(each) <= PADDED * min(each) for each in batches)
    assert len(batches) == 3 or not takes_padding(model)


def test_what_a_journal_has_of_other_prompts_is_left_there(model: HookedModel, tmp_path: Path) -> None:
    whole = drawn(model, tmp_path, None)
    some = dict(list(PROMPTS.items())[:4])
    found = Respondent(model, 2, tmp_path).continuations("sample", some, ends={1}, max_new_tokens=5)
    assert found == {identifier: whole[identifier] for identifier in some}


def test_what_is_drawn_does_not_depend_on_the_batch(model: HookedModel, tmp_path: Path) -> None:
    if not takes_prefixes(model):
        pytest.skip("TransformerLens draws for a whole batch")
    alone = drawn(model, tmp_path / "alone", Sampling(1.0, 0), batch_size=1)
    assert drawn(model, tmp_path / "together", Sampling(1.0, 0), batch_size=9) == alone


def test_the_colder_the_nearer_to_greedy(model: HookedModel, tmp_path: Path) -> None:
    greedy = drawn(model, tmp_path / "greedy", None)
    cold = drawn(model, tmp_path / "cold", Sampling(1e-4, 0))
    assert cold == greedy
    assert drawn(model, tmp_path / "hot", Sampling(5.0, 0)) != greedy


def test_a_token_is_drawn_as_often_as_the_model_says(model: HookedModel, tmp_path: Path) -> None:
    """2,000 draws of the next token after one prompt, against the softmax of its logits at that temperature."""
    prompt, n, temperature = (5, 20, 30), 2000, 0.5
    respondent = Respondent(model, n, tmp_path)
    words = respondent.continuations(
        "many", {f"{i}": prompt for i in range(n)}, ends=(), max_new_tokens=1, sampling=Sampling(temperature, 0)
    )
    with torch.inference_mode():
        logits = model.run_with_cache(torch.tensor([prompt]))[0][0, -1]
    expected = torch.softmax(logits / temperature, dim=-1)
    counts = torch.zeros_like(expected)
    for (token,) in words.values():
        counts[token] += 1
    likely = expected.topk(5).indices
    deviation = (counts[likely] - n * expected[likely]) / (n * expected[likely] * (1 - expected[likely])).sqrt()
    assert deviation.abs().max() < 4


def test_a_batch_that_does_not_fit_is_generated_in_halves(
    model: HookedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(model, tmp_path / "whole", None, batch_size=9)

    def small(model: HookedModel, prompts: list[tuple[int, ...]], **how: Any) -> list[tuple[int, ...]]:
        if len(prompts) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return continued(model, prompts, **how)

    monkeypatch.setattr("interp.answers.generation.continued", small)
    assert drawn(model, tmp_path / "halved", None, batch_size=9) == whole
    samples = drawn(model, tmp_path / "drawn", Sampling(1.0, 0), batch_size=9)
    assert len(set(samples.values())) > len(samples) / 2, "halves do not draw the same numbers"


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_draws_nothing_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match=r"the temperature is .*; give a number above 0"):
        Sampling(temperature, 0)
