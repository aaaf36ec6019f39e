"""What a model generates, kept in journals as it comes, so that an interrupted run goes on from there."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from interp.answers.continuations import continued, takes_padding
from interp.errors import InputError
from interp.models.hooked_model import HookedModel, Sampling, context_length
from interp.work.batches import batched, in_halves_if_need_be
from interp.work.files import cannot_write, make_folder
from interp.work.progress import progress

log = logging.getLogger(__name__)

TokenIds = tuple[int, ...]
PADDED = 1.5
"""How many times as long as its shortest prompt a batch's longest is at most, where lengths may differ."""


@dataclass(frozen=True)
class Respondent:
    """A model that is asked, with the folder in which its words are kept until they are a result."""

    model: HookedModel
    batch_size: int
    """At most this many prompts in one forward pass."""
    journals: Path

    def continuations(
        self,
        name: str,
        prompts: Mapping[str, TokenIds],
        *,
        ends: Collection[int],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> dict[str, TokenIds]:
        """What the model generates after each prompt, up to the first of the tokens `ends`.

        Parameters
        ----------
        name
            Of the journal: one for each thing that is asked.
        prompts
            By an identifier of each.
        ends
            Tokens that end a continuation; they are part of it.
        max_new_tokens
            Where a continuation is cut that does not end.
        sampling
            How to draw it; None is greedy.

        Raises
        ------
        InputError
            If a prompt with so many new tokens is longer than what the model reads.
        """
        _require_room(self.model, prompts, max_new_tokens)
        journal = self.journals / f"{name}.jsonl"
        generated = _read(journal, prompts)

        def outputs(ids: tuple[str, ...]) -> list[TokenIds]:
            seeds = [_seed(sampling.seed, name, identifier) for identifier in ids] if sampling else []
            return continued(
                self.model,
                [prompts[identifier] for identifier in ids],
                max_new_tokens=max_new_tokens,
                ends=ends,
                sampling=[sampling.with_seed(seed) for seed in seeds] if sampling else None,
            )

        with progress(name, total=len(prompts), done=len(generated), unit="prompts") as shown:
            longer = PADDED if takes_padding(self.model) else 1.0
            for ids in _batches(prompts, self.batch_size, longer):
                # A batch is done again as a whole, so that a resumed run computes what an undisturbed one does.
                if all(identifier in generated for identifier in ids):
                    continue
                known = sum(identifier in generated for identifier in ids)
                batch = dict(zip(ids, in_halves_if_need_be(outputs, ids), strict=True))
                _append(journal, batch)
                generated |= batch
                shown.update(len(ids) - known)
        return generated


def _batches(prompts: Mapping[str, TokenIds], batch_size: int, longer: float) -> Iterator[tuple[str, ...]]:
    """Identifiers of prompts, from short to long; in a batch none is more than so many times as long as another."""
    alike: list[list[str]] = []
    for identifier in sorted(prompts, key=lambda each: len(prompts[each])):
        if not alike or len(prompts[identifier]) > longer * len(prompts[alike[-1][0]]):
            alike.append([])
        alike[-1].append(identifier)
    for ids in alike:
        yield from batched(ids, batch_size)


def _seed(seed: int, name: str, identifier: str) -> int:
    """A seed of a prompt's own, so that it draws the same whatever was generated before it or beside it."""
    return int.from_bytes(hashlib.sha256(json.dumps([seed, name, identifier]).encode()).digest()[:8])


def _read(journal: Path, prompts: Collection[str]) -> dict[str, TokenIds]:
    """What an interrupted run generated; a last line that was cut short by a kill is generated again."""
    generated: dict[str, TokenIds] = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["id"] in prompts:
                generated[row["id"]] = tuple(row["generated"])
        log.info("going on with %d %s of an interrupted run", len(generated), journal.stem)
    return generated


def _append(journal: Path, batch: Mapping[str, TokenIds]) -> None:
    make_folder(journal.parent)
    lines = [json.dumps({"id": identifier, "generated": tokens}) for identifier, tokens in batch.items()]
    try:
        with journal.open("a", encoding="utf-8") as file:
            # The leading newline ends a line that a kill may have cut short.
            file.write("\n" + "\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise cannot_write(journal.parent, error) from error


def _require_room(model: HookedModel, prompts: Mapping[str, TokenIds], max_new_tokens: int) -> None:
    most = context_length(model)
    longest = max(prompts, key=lambda identifier: len(prompts[identifier]), default=None)
    if most is None or longest is None or len(prompts[longest]) + max_new_tokens <= most:
        return
    raise InputError(
        f"the prompt of {longest} has {len(prompts[longest])} tokens, to which come up to {max_new_tokens} of the "
        f"answer, and the model reads at most {most}; shorten it, leave it out, or lower --max-new-tokens"
    )
