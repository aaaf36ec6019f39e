"""A set of questions, with the answers that count."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from interp.examples import Question
from interp.vocabulary import Vocabulary


@dataclass(frozen=True)
class QuestionSet:
    """Questions, the answers that count, and where both come from."""

    name: str
    questions: tuple[Question, ...]
    vocabulary: Vocabulary
    credit: str
    """Whom the data must be credited to, and its licence."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many candidate questions were left out, by reason."""
    excluded: tuple[str, ...] = ()
    """A line for each row of a file that could not be used: where it is, what is wrong, what to do."""

    @property
    def sha256(self) -> str:
        """The hash of the questions and of the answers that count: what decides every later result."""
        content = {
            "questions": [asdict(question) for question in self.questions],
            "names": dict(self.vocabulary.names),
            "decoys": self.vocabulary.decoys,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def first(self, n: int) -> QuestionSet:
        """The set with only its first `n` questions."""
        return replace(self, questions=self.questions[:n])


def seeded_order(key: str, seed: int) -> bytes:
    """A sort key that puts things in an order that only `seed` decides, the same on every machine and version."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
