"""Baselines against Hugging Face's own model, one text at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from interp.examples import Answer
from interp.probes.baselines import AGGREGATES, ORDERS, baseline_estimates, p_true, probability_scores, readings_of
from tests.model.conftest import Family
from tests.random_answers import random_answers

CITIES = ["Lyon", "São Paulo", "東京", "Rio", "Nice", "Kyoto", "Bonn", "X", "Yy"]
ANSWERS = [
    replace(answer, question=replace(answer.question, text=f"In which country is {city}?"))
    for answer, city in zip(random_answers(len(CITIES)), CITIES, strict=True)
]


@pytest.fixture(scope="module")
def hugging_face(family: Family) -> Any:
    return AutoModelForCausalLM.from_pretrained(family.source.folder, dtype=torch.float32).eval()


def alone(model: Any, tokens: tuple[int, ...]) -> np.ndarray:
    with torch.inference_mode():
        logits: np.ndarray = model(torch.tensor([tokens])).logits[0].double().numpy()
    return logits


def test_readings_are_those_of_each_answer_alone(family: Family, hugging_face: Any) -> None:
    for answer, readings in zip(ANSWERS, readings_of(family.model, ANSWERS, token_budget=60), strict=True):
        logits = alone(hugging_face, answer.token_ids)
        assert len(readings.logprob) == answer.n_generated
        for place in range(answer.n_generated):
            index = answer.n_prompt + place
            row, token = logits[index - 1], answer.token_ids[index]
            probability = np.exp(row - row.max())[token] / np.exp(row - row.max()).sum()
            assert readings.logit[place] == pytest.approx(row[token], abs=1e-4)
            assert readings.logprob[place] == pytest.approx(np.log(probability), abs=1e-4)


def test_answers_that_are_alike_are_still_read_from_their_own_first_token(family: Family) -> None:
    """What they begin with reaches into the answers, of which every token is to be read."""
    (alone,) = readings_of(family.model, ANSWERS[:1])
    for together in readings_of(family.model, [ANSWERS[0]] * 6, token_budget=60):
        assert together.logit == pytest.approx(alone.logit, abs=1e-4)
        assert together.logprob == pytest.approx(alone.logprob, abs=1e-4)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("exact", [True, False])
def test_p_true_is_the_choice_in_the_models_own_words(
    family: Family, hugging_face: Any, tokenizer: PreTrainedTokenizerFast, order: str, exact: bool
) -> None:
    found = p_true(family.model, ANSWERS, order, exact=exact, token_budget=400)
    assert (np.isnan(found) == [exact and answer.exact is None for answer in ANSWERS]).all()
    shared = tokenizer("(")["input_ids"]
    letters = [tokenizer("(" + letter)["input_ids"] for letter in "AB"]
    assert all(each[: len(shared)] == shared for each in letters), "the tokenizer spells both with one beginning"
    for answer, probability in zip(ANSWERS, found, strict=True):
        if np.isnan(probability):
            continue
        choices = ["True", "False"] if order == "p-true" else ["False", "True"]
        request = (
            f"Question: {answer.question.text}\nProposed answer: {answer.exact_text if exact else answer.text}\n"
            f"Is the proposed answer true or false?\n(A) {choices[0]}\n(B) {choices[1]}\nThe proposed answer is:"
        )
        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], add_generation_prompt=True, tokenize=False
        )
        tokens = (*tokenizer(prompt, add_special_tokens=False)["input_ids"], *shared)
        row = alone(hugging_face, tokens)[-1]
        mass = {choice: np.exp(row[ids[len(shared)]]) for choice, ids in zip(choices, letters, strict=True)}
        assert probability == pytest.approx(mass["True"] / (mass["True"] + mass["False"]), abs=1e-4)


def test_scores_are_of_the_tokens_that_they_name(family: Family) -> None:
    readings = readings_of(family.model, ANSWERS)
    scores = probability_scores(ANSWERS, readings)
    assert len(scores) == 2 * 2 * len(AGGREGATES)
    for row, (answer, reading) in enumerate(zip(ANSWERS, readings, strict=True)):
        assert scores["logprob-mean"][row] == pytest.approx(reading.logprob.mean())
        assert scores["logit-min"][row] == reading.logit.min()
        assert scores["logprob-last"][row] == reading.logprob[answer.n_generated - 1]
        if answer.exact is None:
            assert np.isnan(scores["logprob-max-exact"][row])
        else:
            # In these answers every character is a token.
            assert scores["logprob-max-exact"][row] == reading.logprob[slice(*answer.exact)].max()
            assert scores["logit-last-exact"][row] == reading.logit[answer.exact.stop - 1]


def test_a_baseline_is_the_auc_of_little_confidence_for_errors() -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(200) < 0.4
    confidence = rng.normal(size=200) - wrong
    confidence[::9] = np.nan
    few = np.where(np.cumsum(wrong) > 19, np.nan, confidence)
    estimates = baseline_estimates({"informed": confidence, "few": few}, wrong, np.arange(200))
    known = np.isfinite(confidence)
    data = estimates.data.sel(name="informed")
    assert float(data.value) == pytest.approx(roc_auc_score(wrong[known], -confidence[known]))
    assert float(data.low) < float(data.value) < float(data.high)
    assert int(data.n) == known.sum()
    assert bool(np.isnan(estimates.data.sel(name="few").value))


def test_a_baseline_worse_than_chance_is_not_turned_around() -> None:
    wrong = np.arange(100) % 2 == 0
    estimates = baseline_estimates({"confident when wrong": wrong.astype(np.float64)}, wrong, np.arange(100))
    assert float(estimates.data["value"][0]) == 0.0


def answers_without(answers: list[Answer]) -> list[Answer]:
    return [replace(answer, exact=None) for answer in answers]


def test_nobody_is_asked_about_an_exact_answer_that_is_not_there(family: Family) -> None:
    assert np.isnan(p_true(family.model, answers_without(ANSWERS), "p-true", exact=True)).all()
