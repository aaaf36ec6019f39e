"""Map where a model's answer is caused: activation patching, layer by token.

Pairs questions to which the model gives different answers, and puts the activation of one run at one layer and token
into the other run: how far does the answer follow? Every cell is an exact intervention; values are means over the pairs
with their intervals, and cells that do anything at all are marked, corrected for their number. Pairs enter if the model
says both answers and their runs differ by a margin. Writes patch.nc, .pdf and .png, and patch-pairs.nc with the values
of every pair. With --clean and --corrupt it patches one pair of texts, with their tokens as columns.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analyses import asking
from analyses.capturing import layer_numbers
from analyses.command import execute
from analyses.runs import (
    provenance,
    publish,
    require_publishable,
    reusable,
    run_folder,
    table_of_values,
    value_in_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from interp.examples import Answer
    from interp.heatmap import Heatmap
    from interp.model_sources import ModelSource
    from interp.models import HookedModel
    from interp.pair_runs import Candidate
    from interp.patch import Intervention, PatchedPairs
    from interp.patch_map import Effects
    from interp.patching import Unit
    from interp.questions import QuestionSet
    from interp.readouts import Reader
    from interp.text_pairs import TextPair

BEFORE_ANSWER = "subject_first,subject_last,question_last,last_q,first_answer,second_answer,exact_answer_before_first"
WITH_ANSWER = (
    "last_q,first_answer,second_answer,"
    "exact_answer_before_first,exact_answer_first,exact_answer_last,exact_answer_after_last,-8,-7,-6,-5,-4,-3,-2,-1"
)
DEFAULT_SITE = "resid_post"
SPARE = 1.25
"""So many times the answers that make up the pairs are looked for, since not every answer finds a partner."""
OF_VALUES = ("readout", "site", "window", "layers", "direction", "corruption", "margin", "pairs", "only_said")
"""Flags that decide what every patch gives, in the identity of every map; those of noise are if there is noise."""


@dataclass(frozen=True)
class Config(asking.Config):
    """Map where a model's answer is caused: activation patching, layer by token."""

    readout: Literal["answer", "whole", "verdict"] = "answer"
    """What is read: 'answer', which answer the model is about to name, at the token before it; 'whole', both whole
    answers, spelt out; 'verdict', Yes or No to 'is this answer correct?', which right answers are contrasted by with
    wrong ones, so that cells within and after the answer can cause something."""
    positions: str | None = None
    """Columns of the map, separated by commas; runs are aligned by these names. By default subject, question and answer
    up to its exact part, or for verdict the columns of the probe map."""
    site: str = DEFAULT_SITE
    """What is patched: resid_pre, resid_mid, resid_post, attn_out, mlp_out (what they add), or head_z, head by head."""
    window: int = 1
    """How many layers are patched together, around each row's; what many restore, none of them need restore alone."""
    layers: str = "all"
    """Rows of the map: all, or numbers and ranges such as 0,4,8 or 0-10."""
    direction: Literal["denoise", "noise"] = "denoise"
    """'denoise' puts clean activations into the corrupted run: what suffices to restore the answer. 'noise' puts
    corrupted ones into the clean run: what is needed for it."""
    corruption: Literal["question", "noise", "zero", "mean", "resample"] = "question"
    """'question': another question with another answer. 'noise': Gaussian noise on the subject's embeddings (causal
    tracing, Meng et al. 2022). 'zero', 'mean', 'resample' ablate cells of the clean run: by zeros, by the pairs' mean,
    by another question's; read as the change of the answer's log-probability."""
    sigmas: float = 3.0
    """Of --corruption noise: in deviations of the embeddings."""
    draws: int = 3
    """Of --corruption noise: how often it is drawn; what is read is the mean."""
    pairs: int = 100
    """How many pairs of questions to patch."""
    margin: float = 1.0
    """By how much the scores of clean and corrupted run must differ for a pair to enter, in nats."""
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
    clean: str | None = None
    """One pair of texts in place of a data set: the text whose next token is to be restored. In a chat turn with
    --prompt chat, else as it stands."""
    corrupt: str | None = None
    """The other text of the pair."""
    clean_answer: str | None = None
    """What goes on from --clean; by default what the model goes on with. Its first token is read."""
    corrupt_answer: str | None = None
    """What goes on from --corrupt."""
    figures: Path = Path("figures")
    """Folder of results: <model>/<dataset>/patch.{nc,pdf,png}, patch-pairs.nc; patch-verdict.* for another read-out,
    patch-attn_out.* for another site; <model>/texts/patch.* for one pair of texts."""
    overwrite: bool = False
    """Replace the result of another run."""


def run(config: Config) -> None:
    """Answer, pair, patch, draw."""
    require_usable(config)
    source = asking.source_of(config)
    model = cache(lambda: asking.loaded(config, source))
    if config.clean is not None or config.corrupt is not None:
        run_texts(config, source, model)
        return
    questions = asking.questions_of(config)
    of_values = identity_of(config, source, questions)
    identity = of_values | {"metric": metric_of(config), "bootstraps": config.bootstraps}
    parent, name = config.runs / source.name / questions.name, "-".join(["patch", *variants_of(config)])
    work, values = run_folder(parent, name, identity), run_folder(parent, "patched", of_values) / "pairs.nc"
    published = config.figures / source.name / questions.name / f"{name}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(work / "patch.nc", identity)
    if heatmap is None:
        heatmap = measured_map(config, source, questions, model, values).with_attributes(provenance(identity))
        heatmap.save(work / "patch.nc")
    for path in [*publish(work / "patch.nc", published), copied(values, published.with_name(f"{name}-pairs.nc"))]:
        print(path)
    print(in_words(heatmap))


def require_usable(config: Config) -> None:
    """Raise an `InputError` for flags that no run can use, before anything is loaded or written."""
    from interp.errors import InputError
    from interp.patch import ABLATIONS
    from interp.positions import require_known

    asking.require_usable(config)
    require_known(positions_of(config))
    layer_numbers(config.layers, n_layers=None)
    for flag, least in (("pairs", 1), ("window", 1), ("draws", 1), ("bootstraps", 1)):
        if getattr(config, flag) < least:
            raise InputError(f"--{flag} is {getattr(config, flag)}; give a number from {least}")
    if (config.clean is None) != (config.corrupt is None):
        raise InputError("one pair of texts needs both --clean and --corrupt")
    if config.corruption in ABLATIONS and config.metric == "recovery":
        raise InputError(f"--corruption {config.corruption} has no corrupted run to recover from; leave --metric out")
    if config.corruption == "noise" and config.direction == "noise":
        raise InputError("noise on the embeddings is denoised only; leave --direction out, or --corruption")
    if config.readout == "verdict" and (config.corruption != "question" or config.lead is not None):
        raise InputError("--readout verdict contrasts right answers with wrong ones; leave --corruption and --lead out")


def identity_of(config: Config, source: ModelSource, questions: QuestionSet) -> dict[str, Any]:
    """All that decides what every patch gives."""
    settings: dict[str, Any] = {name: getattr(config, name) for name in OF_VALUES}
    settings |= {"positions": positions_of(config), "lead": config.lead}
    if config.corruption == "noise":
        settings |= {"sigmas": config.sigmas, "draws": config.draws}
    return asking.identity_of(config, source, questions) | settings


def positions_of(config: Config) -> list[str]:
    """The columns."""
    default = WITH_ANSWER if config.readout == "verdict" else BEFORE_ANSWER
    return (default if config.positions is None else config.positions).split(",")


def metric_of(config: Config) -> str:
    """What is drawn."""
    from interp.patch import ABLATIONS

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
        f"every answer begins with '{config.lead}'": config.lead is not None,
    }
    return ", ".join(words for words, holds in told.items() if holds)


def intervention_of(config: Config) -> Intervention:
    """What is patched into what."""
    from interp.patch import Intervention

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
    )


def measured_map(
    config: Config, source: ModelSource, questions: QuestionSet, model: Callable[[], HookedModel], values: Path
) -> Heatmap:
    """The map of this configuration; what every patch gives is kept in the file `values`."""
    from interp.answers import summary
    from interp.patch_files import load_patched
    from interp.patch_map import patch_map

    answers, _ = asking.answers_of(config, source, questions, model)
    if not values.is_file():
        patch_into(values, config, source, questions, model(), answers)
    layers = layers_of(config, source, model)
    patched, columns = with_heads(config, load_patched(values), model)
    heatmap = patch_map(
        patched, effects(config, patched), layers=layers, positions=columns, draws=config.bootstraps, seed=config.seed
    )
    counts = summary(answers, questions) | {f"pairs dropped: {why}": n for why, n in sorted(patched.dropped.items())}
    record = {"model": source.name, "revision": source.revision, **asking.form_of(config, source)}
    record |= {"dataset": questions.name, "credit": questions.credit, "site": config.site}
    return heatmap.with_attributes(
        record | {"counts": json.dumps(counts | {"pairs": len(patched.ids)}), "variant": variant_in_words(config)}
    )


def patch_into(
    path: Path,
    config: Config,
    source: ModelSource,
    questions: QuestionSet,
    model: HookedModel,
    answers: Sequence[Answer],
) -> None:
    """Patch pairs of questions, and keep what every patch gives."""
    from interp.patch import patched_pairs
    from interp.patch_files import save_patched

    candidates, cells = candidates_of(config, questions, model, answers)
    _, units = units_of_rows(config, source, model)
    patched = patched_pairs(model, candidates, cells, units, intervention_of(config), n=config.pairs)
    rows = [f"{unit.first}-{unit.last}" + ("" if unit.head is None else f" head {unit.head}") for unit in units]
    identity = provenance(identity_of(config, source, questions))
    save_patched(patched, path, rows=rows, positions=positions_of(config), attributes=identity)


def candidates_of(
    config: Config, questions: QuestionSet, model: HookedModel, answers: Sequence[Answer]
) -> tuple[list[Candidate], tuple[np.ndarray, np.ndarray]]:
    """Pairs of answers as they are run, and the tokens of their positions on either side."""
    from interp import readouts
    from interp.pair_runs import candidate_of
    from interp.pairs import matched
    from interp.positions import position_table
    from interp.questions import seeded_order

    judged = [answer for answer in answers if answer.correct is not None]
    if config.lead is not None:
        # In the order in which they are paired: of those that the model says, no more are looked for than are used.
        judged.sort(key=lambda answer: seeded_order(answer.question.id, config.seed))
        judged = [readouts.led(model.tokenizer, answer, config.lead) for answer in judged]
        if config.only_said:
            judged = readouts.said(model, judged, most=int(SPARE * 2 * config.pairs))
    right = [answer for answer in judged if answer.correct or config.readout != "verdict"]
    wrong = [answer for answer in judged if not answer.correct or config.readout != "verdict"]
    misfit = readouts.misfit_of_verdicts if config.readout == "verdict" else readouts.misfit_of_answers
    pairs, _ = matched(right, wrong, misfit=misfit, seed=config.seed)
    reader = reader_of(config, questions, model)
    names = positions_of(config)
    clean, corrupt = (
        position_table(side, names)["token"].values
        for side in ([pair.clean for pair in pairs], [pair.corrupt for pair in pairs])
    )
    return [candidate_of(pair, reader) for pair in pairs], (clean, corrupt)


def reader_of(config: Config, questions: QuestionSet, model: HookedModel) -> Reader:
    """What gives the runs of a pair."""
    from interp import readouts
    from interp.answers import answer_ends

    if config.readout == "verdict":
        style = asking.prompting_of(config, questions).style_for(model.tokenizer)
        return readouts.verdict_reader(model.tokenizer, answer_ends(model, style), style)
    return readouts.answer_runs if config.readout == "answer" else readouts.whole_answer_runs


def layers_of(config: Config, source: ModelSource, model: Callable[[], HookedModel]) -> list[int]:
    """The rows of the map."""
    from interp.model_sources import n_layers_of

    return list(layer_numbers(config.layers, n_layers_of(source) or model().cfg.n_layers))


def units_of_rows(config: Config, source: ModelSource, model: HookedModel) -> tuple[list[int], list[Unit]]:
    """The rows of the map, and what is patched for each of them."""
    from interp.patching import units_of

    layers = layers_of(config, source, lambda: model)
    n_heads = model.cfg.n_heads if config.site == "head_z" else None
    return layers, units_of(layers, n_layers=model.cfg.n_layers, window=config.window, n_heads=n_heads)


def with_heads(
    config: Config, patched: PatchedPairs, model: Callable[[], HookedModel]
) -> tuple[PatchedPairs, list[str]]:
    """What every patch gives, with a column for each position and, for heads, each head; and their names."""
    from interp.patch import heads_as_columns

    positions = positions_of(config)
    if config.site != "head_z":
        return patched, positions
    n_heads = model().cfg.n_heads
    return heads_as_columns(patched, n_heads), [f"{name} h{head}" for name in positions for head in range(n_heads)]


def effects(config: Config, patched: PatchedPairs) -> Effects:
    """What is drawn of every pair."""
    from interp.patch_map import effects_of

    clean = intervention_of(config).receives_clean
    return effects_of(patched, metric_of(config), receives_clean=clean, is_contrast=config.corruption == "question")


def run_texts(config: Config, source: ModelSource, model: Callable[[], HookedModel]) -> None:
    """Patch one pair of texts, token by token, and draw it."""
    from interp.patch import patched_pairs
    from interp.patch_map import pair_map

    identity = texts_identity(config, source)
    folder = run_folder(config.runs / source.name / "texts", "patch", identity)
    published = config.figures / source.name / "texts" / f"{'-'.join(['patch', *variants_of(config)])}.nc"
    require_publishable(published, identity, overwrite=config.overwrite)
    heatmap = reusable(folder / "patch.nc", identity)
    if heatmap is None:
        pair = text_pair_of(config, model())
        layers, units = units_of_rows(config, source, model())
        cells = (pair.clean_cells, pair.corrupt_cells)
        patched = patched_pairs(model(), [pair.candidate], cells, units, intervention_of(config), n=1)
        record = {"model": source.name, "revision": source.revision, **asking.form_of(config, source)}
        record |= {"clean": config.clean or "", "corrupt": config.corrupt or "", "answers": json.dumps(pair.answers)}
        record |= {"site": config.site, "variant": f"{pair.answers[0]} against {pair.answers[1]}"}
        heatmap = pair_map(patched, effects(config, patched), layers=layers, positions=list(pair.columns))
        heatmap = heatmap.with_attributes(record | provenance(identity))
        heatmap.save(folder / "patch.nc")
    for path in publish(folder / "patch.nc", published):
        print(path)
    print(table_of_values(heatmap))


def texts_identity(config: Config, source: ModelSource) -> dict[str, Any]:
    """All that decides the map of one pair of texts."""
    names = ("clean", "corrupt", "clean_answer", "corrupt_answer", "prompt", "site", "window", "layers", "direction")
    settings = {name: getattr(config, name) for name in (*names, "margin")}
    return asking.model_identity(config, source) | settings | {"metric": metric_of(config)}


def text_pair_of(config: Config, model: HookedModel) -> TextPair:
    """The pair of texts, as it is run."""
    from interp.prompts import rendered
    from interp.text_pairs import text_pair
    from interp.tokens import encoded_text

    def tokens(text: str) -> tuple[int, ...]:
        if config.prompt == "chat":
            return encoded_text(model.tokenizer, rendered(model.tokenizer, [], text), add_special_tokens=False)[0]
        return encoded_text(model.tokenizer, text, add_special_tokens=True)[0]

    def first_token(text: str | None) -> int | None:
        return None if text is None else encoded_text(model.tokenizer, text, add_special_tokens=False)[0][0]

    answers = first_token(config.clean_answer), first_token(config.corrupt_answer)
    return text_pair(model, tokens(str(config.clean)), tokens(str(config.corrupt)), answers)


def copied(path: Path, published: Path) -> Path:
    """A run's file of pairs, beside its map."""
    from interp.files import whole_file

    with whole_file(published) as temporary:
        shutil.copyfile(path, temporary)
    return published


def in_words(heatmap: Heatmap) -> str:
    """The values at some depths, and where the effect is largest and in which layers."""
    import numpy as np

    data = heatmap.data
    away = abs(data["value"].values - float(data.attrs["unpatched"]))
    lines = [
        table_of_values(heatmap),
        "",
        "largest mean effect of each position, and the layers where single pairs have theirs:",
    ]
    for column, name in enumerate(data["position"].values.tolist()):
        if np.isfinite(away[:, column]).any():
            row = int(np.nanargmax(away[:, column]))
            cell = data.isel(layer=row, position=column)
            interval = value_in_words(float(cell.value), float(cell.low), float(cell.high))
            lines.append(f"{name:26}{interval:>24} at layer {heatmap.layers[row]}, {peaks_in_words(heatmap, column)}")
    counts = json.loads(data.attrs["counts"])
    dropped = {why: n for why, n in counts.items() if why.startswith("pairs dropped")}
    return "\n".join([*lines, "", f"{counts['pairs']} pairs", *(f"{why}: {n}" for why, n in dropped.items())])


def peaks_in_words(heatmap: Heatmap, column: int) -> str:
    """In which layers the middle half of the pairs have their largest effect."""
    import numpy as np

    shares = np.nancumsum(heatmap.data["peak"].values[:, column])
    if not shares[-1] > 0:
        return "no pair has any effect"
    quartiles = [heatmap.layers[int(np.searchsorted(shares, share - 1e-9))] for share in (0.25, 0.5, 0.75)]
    return f"pairs: {quartiles[1]} ({quartiles[0]} to {quartiles[2]})"


if __name__ == "__main__":
    sys.exit(execute(Config, run, prog="python -m analyses.patch"))
