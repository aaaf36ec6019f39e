"""Tiny random models of several families, in the forms of TransformerLens that they have."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from transformers import PreTrainedTokenizerFast

from interp.models.hooked_model import HookedModel
from interp.models.hooked_transformers import is_installed
from interp.models.loading import load_model
from interp.models.model_sources import ModelSource
from tests.tiny_models import CONFIGS, HOOKED, saved_model, trained_tokenizer


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that runs commands, which write to the folder that they are run in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    return trained_tokenizer()


class Family(NamedTuple):
    """A tiny model in one of TransformerLens's two forms."""

    source: ModelSource
    model: HookedModel


FORMS = [
    (name, backend)
    for name in CONFIGS
    for backend in ("bridge", "hooked")
    if backend == "bridge" or (is_installed() and name in HOOKED)
]


@pytest.fixture(scope="session", params=FORMS, ids="-".join)
def family(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory
) -> Family:
    """One tiny model for each family, in each form that it has with the TransformerLens that is installed."""
    name, backend = request.param
    source = saved_model(name, tokenizer, tmp_path_factory.mktemp("models"))
    return Family(source, load_model(source, device="cpu", dtype="float32", backend=backend))


@pytest.fixture(scope="session")
def family_source(family: Family) -> ModelSource:
    return family.source


@pytest.fixture(scope="session")
def family_model(family: Family) -> HookedModel:
    return family.model


@pytest.fixture(scope="session")
def source(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    """One tiny model's folder, for what does not depend on the family."""
    return saved_model("llama", tokenizer, tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def model(source: ModelSource) -> HookedModel:
    return load_model(source, device="cpu", dtype="float32")
