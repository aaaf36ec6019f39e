"""A lens over one prompt: against the model's own parts, and as a command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from analyses import cli
from analyses.parts import lens_prompt
from analyses.parts.runs import prompt_name
from interp.answers.prompts import rendered, text_tokens
from interp.errors import InputError
from interp.figures.prompt_lens_figure import prompt_lens_figure
from interp.figures.prompt_lens_text import prompt_lens_text
from interp.lenses import lens_values as lenses_of_sets
from interp.lenses.lens import LogitLens
from interp.lenses.prompt_lens import prompt_map
from interp.models.hooked_model import HookedModel
from interp.models.logit_readings import NOT_FINITE
from interp.models.model_sources import ModelSource
from interp.models.output_path import output_logits
from interp.models.token_labels import token_text
from interp.results.prompt_map import COLOURS, PromptMap
from tests.stored import contents

TEXT = "In which country is the city of São Paulo?\n\t東京は"


def tokens_of(model: HookedModel) -> list[int]:
    return list(text_tokens(model.tokenizer, TEXT, flag="--prompt"))


class Mirror:
    """A lens that sees nothing in any layer but the last, where it is the model's output."""

    name = "mirror"

    def translated(self, stream: torch.Tensor, layer: int) -> torch.Tensor:
        return stream if layer == 2 else torch.zeros_like(stream)


class Blind:
    """A lens that is not the model's output at the last layer."""

    name = "blind"

    def translated(self, stream: torch.Tensor, layer: int) -> torch.Tensor:
        return torch.zeros_like(stream)


def test_a_cell_is_what_the_output_path_gives(family_model: HookedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenses_of_sets, "CPU_BLOCK_BYTES", 4 * 400 * 7)  # So that columns are read in several blocks.
    tokens = tokens_of(family_model)
    places = list(range(1, len(tokens), 2)) if len(tokens) % 2 == 0 else list(range(0, len(tokens), 2))
    data = prompt_map(family_model, LogitLens(), tokens, places, range(family_model.cfg.n_layers)).data
    with torch.inference_mode():
        logits, cache = family_model.run_with_cache(torch.tensor([tokens]))
        own = logits[0].double().log_softmax(-1)
    following = [*tokens[1:], int(own[-1].argmax())]
    assert data["place"].values.tolist() == places
    assert data["token"].values.tolist() == [tokens[place] for place in places]
    assert data["next_token"].values.tolist() == [following[place] for place in places]
    for layer in range(family_model.cfg.n_layers):
        with torch.inference_mode():
            stream = cache[f"blocks.{layer}.hook_resid_post"][0]
            said = output_logits(family_model, stream).double().log_softmax(-1)[places]
        row, target = data.isel(layer=layer), said[range(len(places)), data["next_token"].values.tolist()]
        assert (said[range(len(places)), row["top_token"].values.tolist()] > said.max(1).values - 1e-4).all()
        np.testing.assert_allclose(row["top_probability"], said.max(1).values.exp(), atol=1e-4)
        np.testing.assert_allclose(row["next_probability"], target.exp(), atol=1e-4)
        np.testing.assert_allclose(row["entropy"], -(said.exp() * said).sum(1), atol=5e-4)
        np.testing.assert_allclose(row["kl"], (own[places].exp() * (own[places] - said)).sum(1), atol=5e-4)
        ahead = [int((each > value + 1e-4).sum()) for each, value in zip(said, target, strict=True)]
        behind = [int((each > value - 1e-4).sum()) for each, value in zip(said, target, strict=True)]
        assert ((ahead <= row["next_rank"]) & (row["next_rank"] <= behind)).all()
        judged = np.array(places) < len(tokens) - 1
        np.testing.assert_array_equal(row["marked"], (row["top_token"] == data["next_token"]) & judged)
    last = data.isel(layer=-1)
    assert float(last["kl"].max()) < 1e-4
    assert last["top_token"].values[-1] == following[-1]
    assert last["marked"].values[-1] == 0, "that the model says what it says is nothing to be right about"


def test_transformer_lens_reads_the_same(model: HookedModel) -> None:
    peer = pytest.importorskip("transformer_lens.tools.analysis.logit_lens", reason="of TransformerLens 4").logit_lens
    tokens = tokens_of(model)
    data = prompt_map(model, LogitLens(), tokens, range(len(tokens)), range(model.cfg.n_layers)).data
    following = torch.from_numpy(data["next_token"].values)[None]
    theirs = peer(model, torch.tensor([tokens]), positions=None, targets=following, return_type="probs")
    # Theirs begins with the embeddings.
    assert len(theirs.labels) == model.cfg.n_layers + 1
    np.testing.assert_allclose(data["next_probability"], theirs.values[1:, 0, :, 0], atol=1e-5)
    np.testing.assert_array_equal(data["next_rank"], theirs.rank_trajectory()[1:, 0])
    np.testing.assert_allclose(data["entropy"], theirs.readout.entropy[1:, 0], atol=1e-4)
    top = peer(model, torch.tensor([tokens]), positions=None, top_k=1, return_type="probs")
    np.testing.assert_array_equal(data["top_token"], top.readout.top_ids[1:, 0, :, 0])
    np.testing.assert_allclose(data["top_probability"], top.values[1:, 0, :, 0], atol=1e-5)


def test_layers_and_tokens_that_are_left_out_change_nothing(model: HookedModel) -> None:
    tokens = tokens_of(model)
    whole = prompt_map(model, LogitLens(), tokens, range(len(tokens)), range(3)).data
    part = prompt_map(model, LogitLens(), tokens, [2, 5], [0, 1]).data
    assert part["layer"].values.tolist() == [0, 1]
    for name in ("top_token", "next_rank", "marked"):
        np.testing.assert_array_equal(part[name], whole[name][:2, [2, 5]])
    np.testing.assert_allclose(part["kl"], whole["kl"][:2, [2, 5]], atol=1e-5, err_msg="against the last layer still")


def test_columns_are_named_by_number_and_token(model: HookedModel) -> None:
    tokens = tokens_of(model)
    shown = prompt_map(model, LogitLens(), tokens, [0, len(tokens) - 1], [2])
    names = shown.data["position"].values.tolist()
    assert [int(name.split()[0]) for name in names] == [0, len(tokens) - 1]
    assert set(shown.texts) >= {tokens[0], tokens[-1]}
    assert all(text == token_text(model.tokenizer, token) for token, text in shown.texts.items())


def test_a_lens_is_an_argument_and_is_held_to_the_models_output(model: HookedModel) -> None:
    tokens = tokens_of(model)
    seen = prompt_map(model, Mirror(), tokens, range(len(tokens)), range(3)).data
    assert len(np.unique(seen["top_token"].values[:2])) == 1, "of nothing it says one thing"
    assert float(seen["kl"][2].max()) < 1e-4
    with pytest.raises(InputError, match="do not give this model's own output"):
        prompt_map(model, Blind(), tokens, [0], [0])


class Overflowing:
    """A lens that gives no numbers in the first layer."""

    name = "overflowing"

    def translated(self, stream: torch.Tensor, layer: int) -> torch.Tensor:
        return torch.full_like(stream, torch.inf) if layer == 0 else stream


def test_what_is_no_number_is_no_token(model: HookedModel) -> None:
    tokens = tokens_of(model)
    shown = prompt_map(model, Overflowing(), tokens, range(len(tokens)), range(3))
    assert set(shown.data["top_token"].values[0].tolist()) == {NOT_FINITE}
    assert (shown.data["top_token"].values[1:] >= 0).all()
    for colour in COLOURS:
        assert np.isnan(shown.coloured(colour).data["value"].values[0]).all()
    first = next(line for line in prompt_lens_text(shown, width=80).splitlines() if line.startswith("    0 "))
    assert set(first.split()[1:]) == {"NaN"}
    assert "NaN: what the lens says is no number" in shown.facts
    assert prompt_lens_figure(shown).axes


def test_a_model_has_the_layers_it_has(model: HookedModel) -> None:
    with pytest.raises(InputError, match="this model has no layer 3; its layers are 0 to 2"):
        prompt_map(model, LogitLens(), tokens_of(model), [0], [0, 3])


def test_the_tokens_of_a_text(tokenizer: PreTrainedTokenizerFast) -> None:
    def tokens(text: str, **flags: object) -> tuple[int, ...]:
        return text_tokens(tokenizer, text, flag="--prompt", **flags)  # type: ignore[arg-type]

    assert tokens("Lyon") == tuple(tokenizer("Lyon")["input_ids"])
    assert tokenizer.decode(tokens("Lyon", style="chat")) == rendered(tokenizer, [], "Lyon")
    assert tokens("Lyon", most=len(tokens("Lyon"))) == tokens("Lyon")
    with pytest.raises(InputError, match="--prompt has 4 tokens, and the model reads at most 2; shorten it"):
        tokens("ˇˇ", most=2)
    with pytest.raises(InputError, match="--prompt is empty"):
        tokens("")
    with pytest.raises(InputError, match="--prompt is not UTF-8"):
        tokens("Lyon\udce4")
    bare = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(InputError, match="no chat template"):
        text_tokens(bare, "Lyon", flag="--prompt", style="chat")


def test_a_text_begins_with_the_token_that_begins_texts(model: HookedModel, source: ModelSource) -> None:
    by_itself = AutoTokenizer.from_pretrained(source.folder)
    assert text_tokens(by_itself, "Lyon", flag="--prompt") == tuple(
        by_itself("Lyon", add_special_tokens=False)["input_ids"]
    )
    with_bos = (by_itself.bos_token_id, *text_tokens(by_itself, "Lyon", flag="--prompt"))
    assert text_tokens(model.tokenizer, "Lyon", flag="--prompt") == with_bos


def lens(source: ModelSource, *flags: str, status: int = 0) -> None:
    assert cli.main(["lens", "--model", str(source.folder), "--dtype", "float32", *flags]) == status


def folder_of(source: ModelSource) -> Path:
    return Path("figures") / source.name / "texts"


@pytest.mark.usefixtures("elsewhere")
def test_a_prompt_is_read_once_drawn_and_printed(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    lens(source, "--prompt", TEXT)
    told = capsys.readouterr().out
    folder = folder_of(source)
    before = contents(folder)
    name = f"lens-{prompt_name(TEXT)}"
    assert set(before) == {f"{name}{suffix}" for suffix in (".nc", ".pdf", ".png")}
    assert all(str(folder / file) in told for file in before)
    assert "\033" not in told
    assert max(map(len, told.splitlines()[4:])) <= 70
    shown = PromptMap.load(folder / f"{name}.nc")
    assert shown.data.attrs["colour"] == "probability"
    assert json.loads(shown.data.attrs["identity"])["text"] == TEXT
    assert shown.data.attrs["text"] == TEXT
    assert len(shown.places) == min(lens_prompt.COLUMNS, shown.n_tokens)
    assert shown.places[-1] == shown.n_tokens - 1

    # Neither the same picture nor another colour of it needs the model.
    monkeypatch.setattr("interp.models.loading.load_model", None)
    lens(source, "--prompt", TEXT)
    assert contents(folder) == before
    (coloured,) = Path("runs").rglob("lens.nc")
    coloured.unlink()  # As in a run that is killed once the lens has been read.
    lens(source, "--prompt", TEXT)
    assert contents(folder) == before
    for colour in COLOURS:
        lens(source, "--prompt", TEXT, "--colour", colour)
    assert {file for file in contents(folder) if file.endswith(".png")} == {
        f"{name}.png",
        *(f"{name}-{colour}.png" for colour in COLOURS if colour != "probability"),
    }
    drawn = contents(folder)
    assert len({drawn[file] for file in drawn if file.endswith(".png")}) == len(COLOURS)
    assert cli.main(["figures"]) == 0
    assert contents(folder) == drawn, "drawn again from their files they are the same"
    lens(source, "--prompt", TEXT, "--prompt-style", "chat", status=2)
    assert "is the result of another run (prompt: " in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_every_prompt_has_a_picture_of_its_own(source: ModelSource) -> None:
    lens(source, "--prompt", TEXT)
    first = contents(folder_of(source))
    lens(source, "--prompt", f"{TEXT} and")
    assert len(contents(folder_of(source))) == 2 * len(first)
    assert contents(folder_of(source)).items() >= first.items()


@pytest.mark.usefixtures("elsewhere")
def test_windows_strides_and_layers_have_pictures_of_their_own(source: ModelSource) -> None:
    lens(source, "--prompt", TEXT, "--tokens=-9-", "--stride", "4", "--layers", "0,2")
    shown = PromptMap.load(folder_of(source) / f"lens-{prompt_name(TEXT)}-tokens-9--stride4-0_2.nc")
    assert shown.layers == [0, 2]
    assert shown.places == [shown.n_tokens - 9, shown.n_tokens - 5, shown.n_tokens - 1]


@pytest.mark.usefixtures("elsewhere")
def test_a_prompt_may_be_a_turn_of_a_chat(source: ModelSource) -> None:
    lens(source, "--prompt", "Lyon?", "--prompt-style", "chat")
    shown = PromptMap.load(folder_of(source) / f"lens-{prompt_name('Lyon?')}.nc")
    texts = [shown.texts[token] for token in shown.data["token"].values.tolist()]
    assert "".join(texts).endswith("<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt", ""], "--prompt is empty; give a text"),
        (["--prompt", "Lyon \udcff"], "--prompt is not UTF-8: it has bytes that are no character; give a text"),
        (["--prompt", "Lyon " * 3000], "tokens, and the model reads at most 2048; shorten it"),
        (["--prompt", "Lyon", "--tokens", "0-40"], "--tokens has '0-40', and the prompt has the tokens 0 to"),
        (["--prompt", "Lyon", "--layers", "0,3"], "--layers has 3, and the model has the layers 0 to 2"),
        (["--prompt", "Lyon", "--stride", "0"], "--stride is 0; give a number from 1"),
        (
            ["--prompt", "Lyon", "--quantities", "kl", "--of", "wrong", "--first", "30", "--positions", "last_q"],
            "--quantities, --of, --first, --positions are for sets of questions; leave them out for one --prompt",
        ),
        (["--prompt", "Lyon", "--shots", "2"], "--shots is for sets of questions; leave it out for one --prompt"),
        (["--tokens", "0-4"], "--tokens, --stride and --colour are of one prompt; give --prompt"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(
    source: ModelSource, capsys: pytest.CaptureFixture, flags: list[str], message: str
) -> None:
    lens(source, *flags, status=2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert not list(Path().rglob("*.nc"))
