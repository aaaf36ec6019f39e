"""A set of questions, with the answers that count and the way in which the set is asked and read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from interp.examples import GivenAnswer, Question
from interp.questions.answer_columns import Value
from interp.questions.vocabulary import Vocabulary

MAX_NEW_TOKENS = 48
MAX_SHOTS = 8


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
    left: tuple[Question, ...] = ()
    """At most `MAX_SHOTS` that come next in the set's order and are not asked, nor is any of their group: examples for
    a prompt with shots."""
    given: Mapping[str, GivenAnswer] = field(default_factory=dict)
    """What the model said, by the question's id, where the user has it: it is used and not generated."""
    columns: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Other columns of the file that were asked for: by name, the values by the question's id, without the missing, in
    the order of the file.
    They are not asked and decide no answer, and so are not in the hash."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """What stands around a question of this set, by the style of the prompt, where it is not the usual."""
    extraction: str = "names"
    """How the exact answer is found in what a model says: a rule of `interp.answers.extraction`."""
    grading: str = "named"
    """When an answer is correct: a rule of `interp.answers.grading`."""
    max_new_tokens: int = MAX_NEW_TOKENS
    """Where the answers of this set are cut, unless the user says otherwise."""

    @property
    def sha256(self) -> str:
        """The hash of the questions and of the answers that count: what decides every later result."""
        content = {
            "questions": [_present(question) for question in self.questions],
            "names": dict(self.vocabulary.names),
            "decoys": self.vocabulary.decoys,
            "left": [_present(question) for question in self.left],
            "given": {identifier: _present(answer) for identifier, answer in self.given.items()},
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def first(self, n: int) -> QuestionSet:
        """The set with only its first `n` questions."""
        return replace(self, questions=self.questions[:n])


def _present(value: Question | GivenAnswer) -> dict[str, object]:
    """The fields that say something: a field that is added later, and not used, changes no hash."""
    # A difficulty of 0 says something, though it is equal to False.
    return {name: field for name, field in asdict(value).items() if field not in (None, ()) and field is not False}


def seeded_order(key: str, seed: int) -> bytes:
    """A sort key that puts things in an order that only `seed` decides, the same on every machine and version."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()
