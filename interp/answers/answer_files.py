"""Answers on disk: one parquet file, with JSON-able metadata about them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interp.errors import InputError
from interp.examples import Answer, Question, Span, TokenizedText
from interp.work.files import whole_file

METADATA_KEY = b"interp"


def save_answers(answers: Sequence[Answer], path: Path, metadata: Mapping[str, Any]) -> None:
    """Write answers, and JSON-able metadata about them, to a parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pylist([_row(answer) for answer in answers], schema=_schema())
    table = table.replace_schema_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)


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
        table = pq.read_table(path, page_checksum_verification=True)
        metadata = json.loads((table.schema.metadata or {})[METADATA_KEY])
        return [_answer(row) for row in table.to_pylist()], metadata
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a file of answers ({error}); remove it and run again") from error


def _schema() -> Any:
    import pyarrow as pa

    span = pa.struct({"start": pa.int32(), "stop": pa.int32()})
    return pa.schema(
        {
            "id": pa.string(),
            "question": pa.string(),
            "gold": pa.string(),
            "aliases": pa.list_(pa.string()),
            "subject": span,
            "dataset": pa.string(),
            "group": pa.string(),
            "difficulty": pa.float64(),
            "context": pa.string(),
            "completion": pa.string(),
            "choices": pa.list_(pa.string()),
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
            "named": pa.list_(pa.string()),
            "found_by": pa.string(),
            "correct": pa.bool_(),
            "why_missing": pa.string(),
        }
    )


def _row(answer: Answer) -> dict[str, Any]:
    question = answer.question
    return {
        "id": question.id,
        "question": question.text,
        "gold": question.gold,
        "aliases": list(question.aliases),
        "subject": question.subject._asdict() if question.subject else None,
        "dataset": question.dataset,
        "group": question.group,
        "difficulty": question.difficulty,
        "context": question.context,
        "completion": question.completion,
        "choices": list(question.choices),
        "token_ids": list(answer.token_ids),
        "n_prompt": answer.n_prompt,
        **answer.generated._asdict(),
        "prompt": answer.prompt._asdict() if answer.prompt else None,
        "spans": [(name, span._asdict()) for name, span in answer.spans.items()],
        "ended": answer.ended,
        "exact": answer.exact._asdict() if answer.exact else None,
        "exact_text": answer.exact_text,
        "named": list(answer.named),
        "found_by": answer.found_by,
        "correct": answer.correct,
        "why_missing": answer.why_missing,
    }


def _answer(row: Mapping[str, Any]) -> Answer:
    question = Question(
        id=row["id"],
        text=row["question"],
        gold=row["gold"],
        aliases=tuple(row["aliases"]),
        subject=Span(**row["subject"]) if row["subject"] else None,
        dataset=row["dataset"],
        group=row["group"],
        difficulty=row["difficulty"],
        context=row["context"],
        completion=row["completion"],
        choices=tuple(row["choices"]),
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
        named=tuple(row["named"]),
        found_by=row["found_by"],
        correct=row["correct"],
        why_missing=row["why_missing"],
    )


def _tokenized(row: Mapping[str, Any]) -> TokenizedText:
    return TokenizedText(row["text"], tuple(row["begun"]), tuple(row["complete"]))
