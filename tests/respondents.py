"""Stand-ins for models that are asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interp.answers.generation import Respondent
from interp.answers.replies import Reader
from interp.models.hooked_model import Sampling


class Mute:
    """A model with nothing but a tokenizer: whatever runs it fails."""

    cfg: Any = None
    hook_dict: Any = None

    def __init__(self, tokenizer: Any = None) -> None:
        self.tokenizer = tokenizer

    def run_with_cache(self, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing should be run")

    __call__ = run_with_hooks = generate = run_with_cache


NOBODY = Reader(Respondent(Mute(), 1, Path("nowhere")), "answers", tries=1, seed=0)
"""Whom nothing may be asked."""


@dataclass(frozen=True)
class Scripted(Respondent):
    """One whose replies are written down: each request gets the replies in turn, and then the last one again."""

    reply: Callable[[str, str, int], str] = lambda identifier, request, attempt: ""
    """From an identifier, the text of its request, and the number of the attempt from 0."""
    asked: list[tuple[str, str, Sampling | None]] = field(default_factory=list)
    """The name of the journal, the identifier, and the sampling of everything that was asked."""

    def continuations(
        self,
        name: str,
        prompts: Mapping[str, tuple[int, ...]],
        *,
        ends: Collection[int],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> dict[str, tuple[int, ...]]:
        tokenizer = self.model.tokenizer
        attempt = int(name.rpartition("-")[2]) - 1
        self.asked.extend((name, identifier, sampling) for identifier in prompts)
        replies = {i: self.reply(i, tokenizer.decode(prompts[i]), attempt) for i in prompts}
        return {i: (*tokenizer(reply)["input_ids"], min(ends))[:max_new_tokens] for i, reply in replies.items()}
