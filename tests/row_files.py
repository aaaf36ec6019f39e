"""Small files of rows, in the formats that users have."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Rows = list[dict[str, Any]]


def written(path: Path, rows: Rows | Mapping[str, Any]) -> Path:
    """The path, with the rows in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        assert isinstance(rows, list)
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        assert isinstance(rows, list)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text(json.dumps(rows), encoding="utf-8")
    return path
