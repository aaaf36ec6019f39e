from __future__ import annotations

import json
import logging
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CTRLConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from interp.activations.batch_activations import site_activations
from interp.answers.continuations import continued, takes_padding
from interp.errors import InputError
from interp.models.gguf import convert_gguf
from interp.models.hooked_model import (
    HookedModel,
    context_length,
    ignores_caches,
    run_until,
    stop_tokens,
    takes_prefixes,
)
from interp.models.hooked_transformers import is_installed
from interp.models.loading import load_model, resolve_backend
from interp.models.model_sources import ModelSource, resolve_model
from interp.models.whole_weights import blocks_beyond
from interp.work.files import sha256
from tests.gguf_files import saved_gguf
from tests.tiny_models import LLAMA_LIKE, TURNED_ALIKE, saved_model, trained_tokenizer

FROM_16 = {"original_max_position_embeddings": 16}
BACKENDS = ("bridge", "hooked") if is_installed() else ("bridge",)


def test_resid_post_is_hugging_faces_hidden_state(family_source: ModelSource, family_model: HookedModel) -> None:
    reference = AutoModelForCausalLM.from_pretrained(family_source.folder, attn_implementation="eager").eval()
    tokens = torch.randint(2, 380, (2, 11), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = reference(tokens, output_hidden_states=True)
        logits, cache = family_model.run_with_cache(tokens)
    hidden = expected.hidden_states
    # Hugging Face's last hidden state has been through the final norm: what follows from it is compared.
    for layer in range(family_model.cfg.n_layers - 1):
        torch.testing.assert_close(cache[f"blocks.{layer}.hook_resid_post"], hidden[layer + 1], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits.log_softmax(-1), expected.logits.log_softmax(-1), rtol=1e-5, atol=1e-5)


def test_greedy_answers_do_not_depend_on_the_batch(family_model: HookedModel) -> None:
    prompts = torch.randint(2, 380, (5, 9), generator=torch.Generator().manual_seed(1)).tolist()
    together = continued(family_model, prompts, max_new_tokens=8, ends=stop_tokens(family_model))
    assert together == [
        continued(family_model, [prompt], max_new_tokens=8, ends=stop_tokens(family_model))[0] for prompt in prompts
    ]


@pytest.mark.parametrize("n_shared", [0, 6, 8, 9])
def test_greedy_answers_are_those_that_transformer_lens_generates(family_model: HookedModel, n_shared: int) -> None:
    """Whatever the prompts have in common, and whichever of them end first."""
    prompts = torch.randint(2, 380, (12, 9), generator=torch.Generator().manual_seed(1))
    prompts[:, :n_shared] = prompts[0, :n_shared]
    with torch.inference_mode():
        output = family_model.generate(
            prompts,
            max_new_tokens=10,
            stop_at_eos=False,
            do_sample=False,
            return_type="tokens",
            verbose=False,
            use_past_kv_cache=not ignores_caches(family_model),
        )
    words = output[:, 9:].tolist()
    ends = {row[step] for row, step in zip(words, [0, 2, 3, 3, 5, 7], strict=False)}
    expected = [tuple(row[: next((i + 1 for i, token in enumerate(row) if token in ends), 10)]) for row in words]
    assert continued(family_model, prompts.tolist(), max_new_tokens=10, ends=ends) == expected
    assert continued(family_model, prompts.tolist(), max_new_tokens=10, ends=()) == [tuple(row) for row in words]


@pytest.mark.parametrize("n_shared", [0, 3, 8])
def test_prompts_of_several_lengths_have_the_greedy_answers_of_each_alone(
    family_model: HookedModel, n_shared: int
) -> None:
    """Whatever they have in common, also where a padded prompt has all of that in its padding or beyond its window."""
    if not takes_padding(family_model):
        pytest.skip("it is not told the places of tokens")
    drawn = torch.randint(2, 380, (9, 24), generator=torch.Generator().manual_seed(1))
    drawn[:, :n_shared] = drawn[0, :n_shared]
    prompts = [row[:length].tolist() for row, length in zip(drawn, [9, 9, 10, 11, 14, 15, 19, 23, 24], strict=True)]
    alone = [continued(family_model, [prompt], max_new_tokens=10, ends=())[0] for prompt in prompts]
    ends = {row[step] for row, step in zip(alone, [0, 2, 3, 3, 5], strict=False)}
    expected = [row[: next((i + 1 for i, token in enumerate(row) if token in ends), 10)] for row in alone]
    assert continued(family_model, prompts, max_new_tokens=10, ends=()) == alone
    assert continued(family_model, prompts[::-1], max_new_tokens=10, ends=ends) == expected[::-1]


def test_what_prompts_share_is_run_once_and_what_has_ended_is_left_out(
    model: HookedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not takes_prefixes(model):
        pytest.skip("TransformerLens 3.9 has no cache of Hugging Face's")
    prompts = torch.randint(2, 380, (8, 9), generator=torch.Generator().manual_seed(1))
    prompts[:, :6] = prompts[0, :6]
    whole = continued(model, prompts.tolist(), max_new_tokens=6, ends=())
    ends = {row[2] for row in whole[:4]}
    expected = [tuple(row[: next((i + 1 for i, token in enumerate(row) if token in ends), 6)]) for row in whole]
    shapes, forward = [], type(model).forward

    def noted(self: HookedModel, tokens: torch.Tensor, **passed: Any) -> Any:
        shapes.append(tuple(tokens.shape))
        return forward(self, tokens, **passed)

    monkeypatch.setattr(type(model), "forward", noted)
    assert continued(model, prompts.tolist(), max_new_tokens=6, ends=ends) == expected
    assert shapes[:2] == [(1, 6), (8, 3)]
    going = [sum(len(row) > step for row in expected) for step in range(1, max(map(len, expected)))]
    assert shapes[2:] == [(n, 1) for n in going]


def test_greedy_answers_are_the_argmax_of_every_step(family_model: HookedModel) -> None:
    prompt = list(range(20, 30))
    (generated,) = continued(family_model, [prompt], max_new_tokens=6, ends=stop_tokens(family_model))
    sequence = list(prompt)
    with torch.inference_mode():
        for token in generated:
            assert int(family_model(torch.tensor([sequence]))[0, -1].argmax()) == token
            sequence.append(token)
    assert len(generated) == 6 or generated[-1] in stop_tokens(family_model)


def test_logits_that_are_not_numbers_are_no_answer(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    if not takes_prefixes(model):
        pytest.skip("TransformerLens 3.9 has no cache of Hugging Face's")
    forward = type(model).forward
    some = torch.ones(2, 1, 1)
    some[1] = torch.nan
    monkeypatch.setattr(type(model), "forward", lambda *args, **passed: forward(*args, **passed) * some)
    with pytest.raises(InputError, match="logits are not numbers in float32 on cpu; take another --dtype or --device"):
        continued(model, [[20, 21], [20, 22]], max_new_tokens=3, ends=())


def test_longrope_is_read_up_to_where_positions_depend_on_the_batch(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = load_model(saved_model("longrope", tokenizer, tmp_path), device="cpu", dtype="float32", backend="bridge")
    assert context_length(model) == TURNED_ALIKE
    cells, short = np.array([[9], [9]]), list(range(5, 15))
    alone = site_activations(model, [short, short], cells)
    for n_tokens, same in ((TURNED_ALIKE, True), (TURNED_ALIKE + 1, False)):
        beside = site_activations(model, [short, list(range(30, 30 + n_tokens))], cells)
        assert torch.allclose(beside[:, :, 0], alone[:, :, 0], atol=1e-5) == same, n_tokens


@pytest.mark.parametrize(
    ("n_ctx", "rope", "most"),
    [
        (64, {"sliding": {"rope_type": "default"}, "full": FROM_16 | {"rope_type": "longrope"}}, 16),
        (64, FROM_16 | {"rope_type": "yarn"}, 64),
        (None, None, None),
    ],
)
def test_layers_may_have_positions_of_their_own_kinds(
    model: HookedModel,
    monkeypatch: pytest.MonkeyPatch,
    n_ctx: int | None,
    rope: dict[str, object] | None,
    most: int | None,
) -> None:
    monkeypatch.setattr(model.cfg, "n_ctx", n_ctx)
    original = SimpleNamespace(config=SimpleNamespace(rope_parameters=rope))
    monkeypatch.setattr(model, "original_model", original, raising=False)
    assert context_length(model) == most


def test_an_answer_is_cut_after_its_first_end_token(model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = continued(model, [list(range(20, 30))], max_new_tokens=8, ends=stop_tokens(model))
    settings = getattr(model, "original_model", model).generation_config
    monkeypatch.setattr(settings, "eos_token_id", [whole[3], 1])
    assert stop_tokens(model) == sorted({whole[3], 1})
    (cut,) = continued(model, [list(range(20, 30))], max_new_tokens=8, ends=stop_tokens(model))
    assert cut == whole[: whole.index(whole[3]) + 1]


def test_run_until_stops_after_the_last_hook_and_leaves_none_behind(model: HookedModel) -> None:
    seen: list[str] = []
    names = ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]
    above = "blocks.2.hook_resid_pre"
    model.add_hook(above, lambda activation, hook: seen.append("above"))
    try:
        run_until(model, torch.tensor([[5, 6, 7]]), {name: lambda _, name=name: seen.append(name) for name in names})
        assert seen == names
        with pytest.raises(ZeroDivisionError):
            run_until(model, torch.tensor([[5, 6, 7]]), {names[0]: lambda _: 1 / 0})
        model(torch.tensor([[5, 6, 7]]))
        assert seen == [*names, "above"], "the hooks are gone, also after an error"
    finally:
        model.reset_hooks()


def test_a_model_folder_is_known_by_its_contents(source: ModelSource, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "renamed"))
    assert resolve_model(str(copy)).revision == source.revision
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert resolve_model(str(copy)).revision != source.revision


def test_code_that_comes_with_a_folder_is_of_its_contents(source: ModelSource, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "with-code"))
    (copy / "modeling_own.py").write_text("FACTOR = 1")
    assert resolve_model(str(copy)).revision == source.revision, "nothing loads it"
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling_own.Model"}}))
    before = resolve_model(str(copy)).revision
    (copy / "modeling_own.py").write_text("FACTOR = 2")
    assert resolve_model(str(copy)).revision != before


def test_only_the_hub_has_revisions(source: ModelSource) -> None:
    for spec in ("smollm2-135m", str(source.folder)):
        with pytest.raises(InputError, match="has no revisions, as a hub model does; leave --revision out"):
            resolve_model(spec, revision="main")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smollm2-135", "unknown model 'smollm2-135'; nearest: smollm2-135m"),
        ("gpt2-smal", "nearest: gpt2-small"),
        ("./absent", r"\./absent is no model; give a folder .* or a \.gguf file"),
        ("absent.gguf", r"absent\.gguf is no model"),
    ],
)
def test_an_unknown_model_names_the_nearest(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve_model(spec)


def test_folders_that_are_no_models(source: ModelSource, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        resolve_model(str(tmp_path))
    copy = Path(shutil.copytree(source.folder, tmp_path / "corrupt"))
    (weights,) = copy.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cannot load the model in .*corrupt"):
        load_model(resolve_model(str(copy)), device="cpu")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("changes", "lost", "message"),
    [
        (
            {},
            "layers.1.mlp.up_proj",
            r"lacks 1 of the model's weights \(model\.layers\.1\.mlp\.up_proj\.weight\); copy",
        ),
        (
            {},
            "self_attn",
            r"lacks 12 of the model's weights \((model\.layers\.0\.self_attn\.\w+\.weight, ){3}…\); copy",
        ),
        ({"num_hidden_layers": 4}, None, r"lacks 9 of the model's weights \(model\.layers\.3\..*; copy or download"),
        ({"num_hidden_layers": 2}, None, r"has blocks that its configuration leaves out \(model\.layers\.2\); copy"),
        ({"num_hidden_layers": 2, "num_nextn_predict_layers": 1}, None, None),
        ({"tie_word_embeddings": True}, "lm_head", None),
    ],
)
def test_files_that_lack_weights_are_refused(
    source: ModelSource, tmp_path: Path, backend: str, changes: dict[str, object], lost: str | None, message: str | None
) -> None:
    """As are blocks beyond the last; but not those that predict further tokens, nor an unembedding that is tied."""
    copy = Path(shutil.copytree(source.folder, tmp_path / "torn"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    weights = load_file(copy / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if lost is None or lost not in name}
    save_file(kept, copy / "model.safetensors", {"format": "pt"})
    if message is None:
        load_model(str(copy), device="cpu", backend=backend)
        return
    with pytest.raises(InputError, match=message):
        load_model(str(copy), device="cpu", backend=backend)


def test_a_gguf_file_that_lacks_weights_is_refused_and_not_kept(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    saved_gguf(tmp_path / "whole.gguf", tokenizer, without=["lm_head.weight"])
    load_model(str(tmp_path / "whole.gguf"), device="cpu")
    saved_gguf(tmp_path / "part.gguf", tokenizer, without=["model.norm.weight"])
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"part\.gguf lacks 1 of the model's weights \(model\.norm\.weight\); give"
        ):
            resolve_model(str(tmp_path / "part.gguf"))


def test_processes_that_need_the_same_model_convert_it_once(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    saved_gguf(tmp_path / "tiny.gguf", tokenizer)
    left = tmp_path / "cache" / "models" / f".gguf-{sha256(tmp_path / 'tiny.gguf')[:16]}.killed"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    converted: list[Path] = []

    def slowly(gguf: Path, folder: Path) -> None:
        converted.append(folder)
        time.sleep(0.2)
        convert_gguf(gguf, folder)

    monkeypatch.setattr("interp.models.gguf.convert_gguf", slowly)
    with ThreadPoolExecutor(2) as processes:
        first, second = processes.map(resolve_model, [str(tmp_path / "tiny.gguf")] * 2)
    assert first == second
    assert converted == [first.folder]
    assert not left.exists(), "what a killed one left is cleared away"


def test_a_disk_that_becomes_full_under_a_conversion_is_one_line(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved_gguf(tmp_path / "tiny.gguf", tokenizer)

    def full(*_: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(InputError, match=r"cannot write to .*models: no space left on device; make room"):
        convert_gguf(tmp_path / "tiny.gguf", tmp_path / "models" / "tiny")
    assert list((tmp_path / "models").iterdir()) == []


def test_the_tokenizer_of_a_gguf_file_is_its_own_whatever_is_beside_it(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    saved_gguf(tmp_path / "tiny.gguf", tokenizer)
    other = trained_tokenizer()
    other.add_tokens(["Lyon", "France"])
    other.save_pretrained(tmp_path)
    (tmp_path / "link.gguf").symlink_to("tiny.gguf")
    loaded = AutoTokenizer.from_pretrained(resolve_model(str(tmp_path / "link.gguf")).folder)
    assert loaded("Lyon")["input_ids"] == tokenizer("Lyon")["input_ids"] != other("Lyon")["input_ids"]


def test_blocks_are_known_by_their_row() -> None:
    names = ["model.layers.0.up.weight", "model.layers.1.experts.0.weight", "model.norm.weight"]
    assert blocks_beyond(["layers.2.up.weight", "model.layers.10.up.weight"], names) == ["layers.2", "model.layers.10"]
    others = ["model.layers.1.experts.7.weight", "visual.blocks.9.up.weight", "mtp.layers.0.up.weight", "lm_head.bias"]
    assert blocks_beyond(others, names) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"is_encoder_decoder": True}, "is an encoder with a decoder; give a decoder-only model"),
        ({"architectures": ["BertForMaskedLM"]}, r"no language model that continues texts \(BertForMaskedLM\)"),
        ({"model_type": "unheard-of"}, "cannot load the model"),
    ],
)
def test_models_that_cannot_be_asked_are_refused(
    source: ModelSource, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "other"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(InputError, match=message) as error:
        load_model(resolve_model(str(copy)), device="cpu")
    assert "\n" not in str(error.value)


def test_a_folder_without_weights_is_refused(source: ModelSource, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "empty", ignore=shutil.ignore_patterns("*.safetensors")))
    with pytest.raises(InputError, match=r"has no weights .*; give a complete model folder"):
        resolve_model(str(copy))


def test_pickled_weights_are_loaded_only_if_they_may_be(source: ModelSource, tmp_path: Path) -> None:
    pickled = Path(shutil.copytree(source.folder, tmp_path / "pickled", ignore=shutil.ignore_patterns("*.safetensors")))
    torch.save(load_file(source.folder / "model.safetensors"), pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled weights only .*; save them .* or give --pickled-weights"):
        resolve_model(str(pickled))
    trusted = load_model(
        resolve_model(str(pickled), pickled_weights=True), device="cpu", dtype="float32", backend="bridge"
    )
    tokens = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.equal(trusted(tokens), load_model(source, device="cpu", dtype="float32", backend="bridge")(tokens))


def test_code_that_comes_with_a_model_is_run_only_if_it_may_be(source: ModelSource, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(source.folder, tmp_path / "with-code"))
    config = json.loads((copy / "config.json").read_text())
    own = {
        "model_type": "its-own",
        "auto_map": {"AutoConfig": "its_own.Config", "AutoModelForCausalLM": "its_own.Model"},
    }
    (copy / "config.json").write_text(json.dumps(config | own))
    (copy / "its_own.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n")
    with pytest.raises(InputError, match=r"cannot load the model .*; give --trust-remote-code if you trust the code"):
        load_model(resolve_model(str(copy)), device="cpu")
    assert not (tmp_path / "was-run").exists()


def test_the_form_of_a_model_is_chosen_by_what_is_installed(
    source: ModelSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = saved_model("gemma2", tokenizer, tmp_path)
    monkeypatch.setattr("interp.models.loading.is_installed", lambda: True)
    assert [resolve_backend(source, backend) for backend in ("auto", "hooked", "bridge")] == [
        "hooked",
        "hooked",
        "bridge",
    ]
    assert resolve_backend(other, "auto") == "bridge"
    with pytest.raises(
        InputError, match=r"tiny-gemma2 cannot be loaded as HookedTransformer .*; take --backend bridge"
    ):
        resolve_backend(other, "hooked")
    monkeypatch.setattr("interp.models.loading.is_installed", lambda: False)
    assert resolve_backend(source, "auto") == "bridge"
    with pytest.raises(
        InputError, match=r"TransformerLens 4 has no HookedTransformer; .*pip install 'transformer-lens"
    ):
        resolve_backend(source, "hooked")
    with pytest.raises(InputError, match="unknown backend 'hook'; nearest: hooked"):
        resolve_backend(source, "hook")


@pytest.mark.parametrize(
    ("family", "changes", "lost"),
    [
        ("LlamaForCausalLM", {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}, "linear rotary positions"),
        (
            "Qwen2ForCausalLM",
            {"rope_parameters": None, "rope_scaling": {"type": "yarn", "factor": 4.0}},
            "yarn rotary positions",
        ),
        ("LlamaForCausalLM", {"attention_bias": True}, "biases"),
        ("LlamaForCausalLM", {"mlp_bias": True, "head_dim": 16}, "biases, the width of its heads"),
        ("Qwen3ForCausalLM", {"use_sliding_window": True}, "sliding windows"),
        ("LlamaForCausalLM", {"rope_parameters": {"rope_type": "llama3"}, "head_dim": 8, "rope_scaling": None}, None),
        ("GPT2LMHeadModel", {}, "the length of its context"),
        ("GPT2LMHeadModel", {"n_ctx": 256}, None),
        ("GPTNeoXForCausalLM", {"attention_bias": True}, None),
        ("MistralForCausalLM", {"sliding_window": 6, "head_dim": 16}, None),
    ],
)
def test_what_hooked_transformer_would_leave_out_goes_to_the_bridge(
    source: ModelSource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    changes: dict[str, object],
    lost: str | None,
) -> None:
    config = json.loads((source.folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["ItsOwn", family]} | changes))
    other = replace(source, folder=tmp_path)
    monkeypatch.setattr("interp.models.loading.is_installed", lambda: True)
    assert resolve_backend(other, "bridge") == "bridge"
    assert resolve_backend(other, "auto") == ("hooked" if lost is None else "bridge")
    if lost is not None:
        with pytest.raises(InputError, match=f"HookedTransformer would leave out {lost} of .*; take --backend bridge"):
            resolve_backend(other, "hooked")


@pytest.mark.parametrize("weights", ["raw", "processed"])
def test_a_model_that_says_something_else_through_transformer_lens_is_refused(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weights: str
) -> None:
    """The bridge scales GPT-2's attention whatever its configuration says; `HookedTransformer` knows no biases."""
    unscaled = saved_model("gpt2", tokenizer, tmp_path)
    config = json.loads((unscaled.folder / "config.json").read_text())
    (unscaled.folder / "config.json").write_text(json.dumps(config | {"scale_attn_weights": False}))
    with pytest.raises(InputError, match="through TransformerBridge this model does not say what it says in transf"):
        load_model(unscaled, device="cpu", dtype="float32", backend="bridge", weights=weights)
    if is_installed():
        monkeypatch.setattr("interp.models.loading.left_out", lambda _: [])
        biased = biased_llama(tokenizer, tmp_path)
        with pytest.raises(InputError, match="through HookedTransformer this model does not say what it says in tran"):
            load_model(biased, device="cpu", dtype="float32", backend="hooked", weights=weights)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_what_rounding_does_in_half_precision_is_no_other_model(source: ModelSource, dtype: str) -> None:
    for backend in BACKENDS:
        assert load_model(source, device="cpu", dtype=dtype, backend=backend, weights="processed")


def biased_llama(tokenizer: PreTrainedTokenizerFast, parent: Path) -> ModelSource:
    network = AutoModelForCausalLM.from_config(LlamaConfig(**LLAMA_LIKE, attention_bias=True))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(parent / "biased")
    tokenizer.save_pretrained(parent / "biased")
    return resolve_model(str(parent / "biased"))


def test_the_path_of_a_folder_says_nothing_of_its_family(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    """TransformerLens 3.9 takes whatever has "llama" or "gemma" in its path for one."""
    folder = saved_model("gpt_neox", tokenizer, tmp_path / "llama-and-gemma-2-9b")
    assert load_model(folder, device="cpu").cfg.parallel_attn_mlp


def test_a_model_is_loaded_by_its_name_in_the_dtype_that_is_fast(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fast, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr("interp.models.devices.has_fast_bfloat16", lambda device, fast=fast: fast)
        assert next(load_model(str(source.folder)).parameters()).dtype is dtype  # type: ignore[attr-defined]
    assert next(load_model(source, dtype="float16").parameters()).dtype is torch.float16  # type: ignore[attr-defined]


def test_a_model_that_is_spread_over_devices_computes_the_same(source: ModelSource, model: HookedModel) -> None:
    spread = load_model(source, dtype="float32", backend="bridge", device_map={"": "cpu"})
    cells = np.array([[0, 2], [1, 3]])
    torch.testing.assert_close(
        *(site_activations(each, [[5, 6, 7], [8, 9, 10, 11]], cells) for each in (spread, model)), rtol=1e-5, atol=1e-5
    )


def test_how_a_model_is_spread_is_transformer_lenss_to_do(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    class Booted(Exception):
        pass

    def boot(folder: str, **how: object) -> None:
        raise Booted({name: how[name] for name in ("device", "device_map", "n_devices") if name in how})

    monkeypatch.setattr("transformer_lens.model_bridge.TransformerBridge.boot_transformers", boot)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for given, expected in (
        ({"device_map": "balanced"}, {"device_map": "balanced"}),
        ({"n_devices": 2}, {"n_devices": 2}),
        ({"device": "cpu"}, {"device": "cpu"}),
    ):
        with pytest.raises(InputError) as error:
            load_model(source, backend="bridge", **given)  # type: ignore[arg-type]
        assert error.value.__cause__ is not None
        assert error.value.__cause__.args == (expected,)


def test_processed_weights_are_an_argument_of_loading(source: ModelSource) -> None:
    with pytest.raises(InputError, match="unknown weights 'procesed'; nearest: processed"):
        load_model(source, weights="procesed")


def hub_error(kind: type[HfHubHTTPError]) -> HfHubHTTPError:
    request = httpx.Request("GET", "https://example.org/api/models/org/name")
    return kind("404 Client Error.\nAsk for it.", response=httpx.Response(404, request=request))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (hub_error(GatedRepoError), "it is gated; accept its terms on its page, then log in with 'hf auth login'"),
        (hub_error(RepositoryNotFoundError), "there is no such model, or it is private; check the name, or log in"),
        (hub_error(RevisionNotFoundError), "it has no revision v9; give --revision a branch, tag or commit"),
        (
            LocalEntryNotFoundError("Cannot reach it.\nMore."),
            "Cannot reach it.; it is not in your cache: check the net",
        ),
        (ConnectionError("refused"), "refused; it is not in your cache: check the network, or give a folder"),
        (RuntimeError("odd"), "odd; check the name and the network"),
    ],
)
def test_why_a_model_of_the_hub_is_not_here(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def fetch(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(InputError) as told:
        resolve_model("org/name", revision="v9")
    assert "asking the hub for org/name; if that hangs, HF_HUB_OFFLINE=1 takes what is in your cache" in caplog.text
    assert str(told.value).startswith(f"cannot fetch the model org/name from the hub: {message}")
    assert "\n" not in str(told.value)


def test_an_architecture_that_transformer_lens_does_not_know(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    config = CTRLConfig(vocab_size=400, n_embd=32, n_layer=2, n_head=2, dff=32, n_positions=64)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(
        InputError, match=r"TransformerLens [\d.]+ does not know its architecture \(CTRLLMHeadModel\); take another"
    ):
        load_model(str(tmp_path))
