"""A model's own answers to questions: generated, read, judged, and kept as a table.

1. Each question becomes a prompt: a turn of the model's chat template, or for a base model a text to continue.
2. The model continues it greedily. What it generated is appended to a journal, batch by batch, so that a run which
   is interrupted goes on from there.
3. Each text is read without looking at the gold answer: the exact answer is the first of the set's answers that it
   names. Only then is it compared with the gold one.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interp.batches import batched
from interp.errors import InputError
from interp.examples import Answer, PromptParts, Question, Span, TokenizedText
from interp.files import make_folder, whole_file
from interp.models import HookedModel, generate_greedily, stop_tokens
from interp.progress import progress
from interp.prompts import Prompt, Prompting, newline_tokens, prompt_of
from interp.questions import QuestionSet
from interp.tokens import decoded_text
from interp.vocabulary import Vocabulary

log = logging.getLogger(__name__)

NOTHING_NAMED = "names no known answer"
EMPTY = "empty answer"
METADATA_KEY = b"interp"


def answer_questions(
    model: HookedModel,
    questions: QuestionSet,
    *,
    max_new_tokens: int,
    batch_size: int,
    journal: Path,
    prompting: Prompting | None = None,
) -> list[Answer]:
    """Ask a model every question, and read and judge what it says.

    Parameters
    ----------
    model
        The model, with its tokenizer.
    questions
        What to ask, and the answers that count.
    max_new_tokens
        Where an answer is cut if the model does not end it.
    batch_size
        At most this many prompts, all of one length, in one batch.
    journal
        A file that receives what is generated, and from which an interrupted run goes on.
    prompting
        How the questions are put; None is as the tokenizer has it.

    Raises
    ------
    InputError
        If the model cannot be asked that way.
    """
    prompting = prompting or Prompting()
    ends = set(stop_tokens(model))
    if prompting.style_for(model.tokenizer) == "base":
        ends |= newline_tokens(model.tokenizer)
    prompts = {question.id: prompt_of(model.tokenizer, question, prompting) for question in questions.questions}
    token_ids = {identifier: prompt.token_ids for identifier, prompt in prompts.items()}
    generated = _generate_all(model, token_ids, ends, max_new_tokens, batch_size, journal)
    return [
        read_answer(model.tokenizer, question, prompts[question.id], generated[question.id], ends, questions.vocabulary)
        for question in questions.questions
    ]


def read_answer(
    tokenizer: Any,
    question: Question,
    prompt: Prompt,
    generated: Sequence[int],
    ends: set[int],
    vocabulary: Vocabulary,
) -> Answer:
    """The answer in what a model generated: its text, where its exact answer stands, and whether that is correct."""
    said = decoded_text(tokenizer, generated)
    naming = vocabulary.first_named(said.text, question.subject_text)
    return Answer(
        question=question,
        token_ids=(*prompt.token_ids, *generated),
        n_prompt=len(prompt.token_ids),
        generated=said,
        ended=bool(generated) and generated[-1] in ends,
        exact=naming.span if naming else None,
        named=" / ".join(naming.answers) if naming else None,
        correct=question.gold in naming.answers if naming else None,
        why_missing=None if naming else NOTHING_NAMED if said.text.strip() else EMPTY,
        prompt=prompt.tokens,
        spans=prompt.spans,
    )


def summary(answers: Sequence[Answer], questions: QuestionSet) -> dict[str, int]:
    """The counts that a reader needs to judge the set: asked, named, correct, cut, and what fell out and why."""
    missing = Counter(answer.why_missing for answer in answers if answer.why_missing)
    return {
        "asked": len(answers),
        "answered": sum(answer.correct is not None for answer in answers),
        "correct": sum(answer.correct is True for answer in answers),
        "cut at the token limit": sum(not answer.ended for answer in answers),
        **{f"not judged: {reason}": count for reason, count in sorted(missing.items())},
        **{f"not asked: {reason}": count for reason, count in sorted(questions.dropped.items())},
    }


def save_answers(answers: Sequence[Answer], path: Path, metadata: Mapping[str, Any]) -> None:
    """Write answers, and JSON-able metadata about them, to a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_row(answer) for answer in answers], schema=_schema())
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary)


def load_answers(path: Path) -> tuple[list[Answer], dict[str, Any]]:
    """Read what `save_answers` wrote: the answers and the metadata.

    Raises
    ------
    InputError
        If the file is not such a file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        metadata = json.loads((table.schema.metadata or {})[METADATA_KEY])
        return [_answer(row) for row in table.to_pylist()], metadata
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of answers ({error}); remove it and run again") from error


def _generate_all(
    model: HookedModel,
    prompts: Mapping[str, tuple[int, ...]],
    ends: set[int],
    max_new_tokens: int,
    batch_size: int,
    journal: Path,
) -> dict[str, tuple[int, ...]]:
    generated = _read_journal(journal, prompts)
    with progress("answers", total=len(prompts), done=len(generated), unit="questions") as shown:
        for ids in _equal_length_batches(prompts, batch_size):
            # A batch is done again as a whole, so that a resumed run computes what an undisturbed one does.
            if all(identifier in generated for identifier in ids):
                continue
            known = sum(identifier in generated for identifier in ids)
            outputs = generate_greedily(model, [prompts[i] for i in ids], max_new_tokens=max_new_tokens, ends=ends)
            batch = dict(zip(ids, outputs, strict=True))
            _append_to_journal(journal, batch)
            generated |= batch
            shown.update(len(ids) - known)
    return generated


def _equal_length_batches(prompts: Mapping[str, tuple[int, ...]], batch_size: int) -> list[tuple[str, ...]]:
    by_length: dict[int, list[str]] = {}
    for identifier, prompt in prompts.items():
        by_length.setdefault(len(prompt), []).append(identifier)
    return [batch for _, ids in sorted(by_length.items()) for batch in batched(ids, batch_size)]


def _read_journal(journal: Path, prompts: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """What an interrupted run generated; a last line that was cut short by a kill is generated again."""
    generated: dict[str, tuple[int, ...]] = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue
            if row["id"] in prompts:
                generated[row["id"]] = tuple(row["generated"])
        log.info("going on with %d answers of an interrupted run", len(generated))
    return generated


def _append_to_journal(journal: Path, batch: Mapping[str, tuple[int, ...]]) -> None:
    make_folder(journal.parent)
    lines = [json.dumps({"id": identifier, "generated": tokens}) for identifier, tokens in batch.items()]
    with journal.open("a", encoding="utf-8") as file:
        # The leading newline ends a line that a kill may have cut short.
        file.write("\n" + "\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _schema() -> Any:
    import pyarrow as pa

    span = pa.struct({"start": pa.int32(), "stop": pa.int32()})
    return pa.schema(
        {
            "id": pa.string(),
            "before": pa.string(),
            "question": pa.string(),
            "after": pa.string(),
            "gold": pa.string(),
            "aliases": pa.list_(pa.string()),
            "subject": span,
            "dataset": pa.string(),
            "group": pa.string(),
            "difficulty": pa.float64(),
            "token_ids": pa.list_(pa.int32()),
            "n_prompt": pa.int32(),
            "text": pa.string(),
            "begun": pa.list_(pa.int32()),
            "complete": pa.list_(pa.int32()),
            "prompt": pa.struct({"text": pa.string(), "begun": pa.list_(pa.int32()), "complete": pa.list_(pa.int32())}),
            "spans": pa.map_(pa.string(), span),
            "ended": pa.bool_(),
            "exact": span,
            "exact_text": pa.string(),
            "named": pa.string(),
            "correct": pa.bool_(),
            "why_missing": pa.string(),
        }
    )


def _row(answer: Answer) -> dict[str, Any]:
    question = answer.question
    return {
        "id": question.id,
        **question.prompt_parts._asdict(),
        "gold": question.gold,
        "aliases": list(question.aliases),
        "subject": question.subject._asdict() if question.subject else None,
        "dataset": question.dataset,
        "group": question.group,
        "difficulty": question.difficulty,
        "token_ids": list(answer.token_ids),
        "n_prompt": answer.n_prompt,
        **answer.generated._asdict(),
        "prompt": answer.prompt._asdict() if answer.prompt else None,
        "spans": [(name, span._asdict()) for name, span in answer.spans.items()],
        "ended": answer.ended,
        "exact": answer.exact._asdict() if answer.exact else None,
        "exact_text": answer.exact.of(answer.text) if answer.exact else None,
        "named": answer.named,
        "correct": answer.correct,
        "why_missing": answer.why_missing,
    }


def _answer(row: Mapping[str, Any]) -> Answer:
    question = Question(
        id=row["id"],
        prompt_parts=PromptParts(row["before"], row["question"], row["after"]),
        gold=row["gold"],
        aliases=tuple(row["aliases"]),
        subject=Span(**row["subject"]) if row["subject"] else None,
        dataset=row["dataset"],
        group=row["group"],
        difficulty=row["difficulty"],
    )
    return Answer(
        question=question,
        token_ids=tuple(row["token_ids"]),
        n_prompt=row["n_prompt"],
        generated=_tokenized(row),
        prompt=_tokenized(row["prompt"]) if row["prompt"] else None,
        spans={name: Span(**span) for name, span in row["spans"]},
        ended=row["ended"],
        exact=Span(**row["exact"]) if row["exact"] else None,
        named=row["named"],
        correct=row["correct"],
        why_missing=row["why_missing"],
    )


def _tokenized(row: Mapping[str, Any]) -> TokenizedText:
    return TokenizedText(row["text"], tuple(row["begun"]), tuple(row["complete"]))
