"""How runs are patched into each other: the flags of interp patch, and what they decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses.parts import asking, flags, loading, procedures
from analyses.parts.capturing import DEFAULT_POSITIONS, DEFAULT_SITE, layer_numbers
from interp.patching.interventions import ABLATIONS, Corruption, Direction, Intervention

if TYPE_CHECKING:
    from collections.abc import Callable

    from interp.models.hooked_model import HookedModel
    from interp.models.model_sources import ModelSource
    from interp.patching.patch_map import Effects
    from interp.patching.patched_pairs import PatchedPairs
    from interp.patching.patches import Unit

BEFORE_ANSWER = "subject_first,subject_last,question_last,last_q,first_answer,second_answer,exact_answer_before_first"
OF_VALUES = ("readout", "site", "window", "layers", "direction", "corruption", "margin", "pairs", "only_said")
"""Flags that decide what every patch gives, in the identity of every map; those of noise are if there is noise."""


@dataclass(frozen=True)
class Config(flags.Config):
    """Map where a model's answer is caused: activation patching, layer by token."""

    readout: Literal["answer", "whole", "verdict"] = "answer"
    """What is read: 'answer', which answer the model is about to name, at the token before it; 'whole', both whole
    answers, spelt out; 'verdict', Yes or No to 'is this answer correct?', which right answers are contrasted by with
    wrong ones, so that cells within and after the answer can cause something."""
    positions: str | None = None
    """Columns of the map, separated by commas; runs are aligned by these names, such as subject_last, or subject:1 and
    subject:-2 to go by index. By default subject, question and answer up to its exact part, or for verdict the columns
    of the probe map."""
    site: str = DEFAULT_SITE
    """What is patched: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), or head_z, head by head."""
    window: int = 1
    """How many layers are patched together, around each row's; what many restore, none of them need restore alone."""
    layers: str = "all"
    """Rows of the map: all, or numbers and ranges such as 0,4,8 or 0-10."""
    direction: Direction = "denoise"
    """'denoise' puts clean activations into the corrupted run: what suffices to restore the answer. 'noise' puts
    corrupted ones into the clean run: what is needed for it."""
    corruption: Corruption = "question"
    """'question': another question with another answer. 'noise': Gaussian noise on the subject's embeddings (causal
    tracing, Meng et al. 2022). 'zero', 'mean', 'resample' ablate cells of the clean run: by zeros, by the mean
    over all pairs that could be made (also those that are not patched, so that it takes its time), by another
    question's; read as the change of the answer's log-probability."""
    sigmas: float = 3.0
    """Of --corruption noise: in deviations of the embeddings."""
    draws: int = 3
    """Of --corruption noise: how often it is drawn; what is read is the mean (of probabilities the geometric one)."""
    pairs: int = 100
    """How many pairs of questions to patch."""
    pair_column: str | None = None
    """Column of the question file that says which two questions are a pair, by a name that both have, the clean one
    first. By default questions are paired that have different answers, of as many subject tokens if there are."""
    margin: float = 1.0
    """By how much the score of the clean run must be above that of the corrupted one for a pair to enter, in nats; far
    below 0 any pair enters."""
    only_said: bool = True
    """Only pairs in which either run's most probable token is its own answer's; not for verdict."""
    lead: str | None = None
    """Text that every answer begins with in place of the model's own words, which may repeat the subject and hint at
    the answer: with one text for all, a run knows of the subject by the question alone."""
    metric: Literal["auto", "recovery", "score", "logprob", "probability", "kl"] = "auto"
    """What is drawn: recovery (0 corrupted, 1 clean), or the change, against the run without a patch, of the score (the
    logit difference), of the clean answer's log-probability or probability, or of the divergence from the clean run.
    auto: recovery; for ablations, which have no corrupted run, logprob."""
    bootstraps: int = 2000
    """Bootstrap samples of the pairs, and sign flips by which cells are marked."""
    plain: bool = False
    """Run every patch as a whole forward pass: slow, the same values; what models without a wavefront get anyway."""
    screen: bool = False
    """Estimate every cell by attribution patching, from one backward pass for each pair, in place of patching it."""
    steps: int = 1
    """Of --screen: integrated gradients along the inputs, so many steps of them."""
    verify: str | None = None
    """Of --screen: patch cells exactly too, and print how the two agree. 'top:K': the K cells with the largest
    estimates. 'all': the whole map, in the time that it takes without --screen, to learn how far to trust it here."""
    clean: str | None = None
    """One pair of texts in place of a data set: the text whose next token is to be restored. In a chat turn with
    --prompt-style chat, else as it stands."""
    corrupt: str | None = None
    """The other text of the pair."""
    clean_answer: str | None = None
    """What goes on from --clean; by default what the model goes on with. Its first token is read."""
    corrupt_answer: str | None = None
    """What goes on from --corrupt."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/patch.{nc,pdf,png}, patch-pairs.nc; patch-verdict.* for another read-out,
    patch-attn_out.* for another site; <model>/texts/patch-<first words and
    a hash>.* for one pair of texts."""
    overwrite: bool = False
    """Replace the result of another run."""


def identity_of(setting: asking.Setting[Config]) -> dict[str, Any]:
    """All that decides what every patch gives."""
    from interp.models.sites import SITES

    config = setting.config
    settings: dict[str, Any] = {name: getattr(config, name) for name in OF_VALUES}
    settings |= {"positions": positions_of(config), "lead": config.lead, "pair_column": config.pair_column}
    # A list where there are any: the first row of a pair is the clean one.
    pair_names = list(setting.questions.columns.get(config.pair_column or "", {}).items())
    settings |= {"pair_names": pair_names or {}} | procedures.PATCHED_CELLS
    if config.screen:
        settings |= {"screen_steps": config.steps} | ({} if config.site in SITES else procedures.HOOKS_CALLED_AGAIN)
    if config.corruption == "noise":
        settings |= {"sigmas": config.sigmas, "draws": config.draws}
    return asking.identity_of(setting) | settings


def positions_of(config: Config) -> list[str]:
    """The columns."""
    default = DEFAULT_POSITIONS if config.readout == "verdict" else BEFORE_ANSWER
    return flags.listed(default if config.positions is None else config.positions)


def metric_of(config: Config) -> str:
    """What is drawn."""
    if config.metric != "auto":
        return config.metric
    return "logprob" if config.corruption in ABLATIONS else "recovery"


def variants_of(config: Config) -> list[str]:
    """What in the name of a map tells it from the map of the default."""
    chosen = [
        (config.readout, "answer"),
        (config.site, DEFAULT_SITE),
        (f"window{config.window}", "window1"),
        (config.direction, "denoise"),
        (f"by-{config.corruption}", "by-question"),
        ("led" if config.lead else "", ""),
        ("screened" if config.screen else "", ""),
        (config.metric, "auto"),
        (config.layers.replace(",", "_"), "all"),
    ]
    return [value for value, default in chosen if value != default]


def variant_in_words(config: Config) -> str:
    """What a figure must say of how it was made, for it not to be taken for another."""
    told = {
        f"read-out: {config.readout}": config.readout != "answer",
        f"windows of {config.window} layers": config.window > 1,
        "corrupted into clean": config.direction == "noise",
        f"corruption: {config.corruption}": config.corruption != "question",
        f"estimated by attribution patching, {config.steps} step(s)": config.screen,
        f"every answer begins with '{config.lead}'": config.lead is not None,
    }
    return ", ".join(words for words, holds in told.items() if holds)


def intervention_of(config: Config) -> Intervention:
    """What is patched into what."""
    return Intervention(
        site=config.site,
        direction=config.direction,
        corruption=config.corruption,
        sigmas=config.sigmas,
        draws=config.draws,
        seed=config.seed,
        margin=config.margin,
        only_said=config.only_said and config.readout != "verdict",
        plain=config.plain,
        screen_steps=config.steps if config.screen else 0,
    )


def layers_of(config: Config, source: ModelSource, model: Callable[[], HookedModel]) -> list[int]:
    """The rows of the map."""
    return list(layer_numbers(config.layers, loading.n_layers_of(source, model)))


def units_of_rows(config: Config, source: ModelSource, model: HookedModel) -> tuple[list[int], list[Unit]]:
    """The rows of the map, and what is patched for each of them."""
    from interp.patching.patches import units_of

    layers = layers_of(config, source, lambda: model)
    n_heads = model.cfg.n_heads if config.site == "head_z" else None
    return layers, units_of(layers, n_layers=model.cfg.n_layers, window=config.window, n_heads=n_heads)


def effects(config: Config, patched: PatchedPairs) -> Effects:
    """What is drawn of every pair."""
    from interp.patching.patch_map import effects_of

    clean = intervention_of(config).receives_clean
    return effects_of(patched, metric_of(config), receives_clean=clean, of_score=score_in_words(config))


def score_in_words(config: Config) -> str:
    """What the score is: of an answer alone, where there is no other, of two at one token, or of two whole answers."""
    if config.corruption != "question":
        return "log-probability"
    return "log-probability difference of whole answers" if config.readout == "whole" else "logit difference"


def with_heads(
    config: Config, patched: PatchedPairs, columns: list[str], model: Callable[[], HookedModel]
) -> tuple[PatchedPairs, list[str]]:
    """What every patch gives, with a column for each position and, for heads, each head; and their names."""
    from interp.patching.patched_pairs import heads_as_columns

    if config.site != "head_z":
        return patched, columns
    n_heads = model().cfg.n_heads
    return heads_as_columns(patched, n_heads), [f"{name} h{head}" for name in columns for head in range(n_heads)]
