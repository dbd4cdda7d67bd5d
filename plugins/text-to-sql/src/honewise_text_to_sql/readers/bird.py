"""BIRD: ``dev.json``, ``train.json``, ``mini_dev_sqlite.json``, with ``evidence`` as the hint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object
from honewise.errors import DataError
from honewise_text_to_sql.tasks import make_task, show_schema

from .layout import Layout, Settings, choose, is_json, needed, numbered, read_rows

__all__ = ["bird"]

_PREFERRED = ("dev.json", "mini_dev_sqlite.json", "test.json", "train.json")


def bird(settings: Settings) -> Reader:
    """BIRD's rows with ``*_databases/`` beside them; without databases the schema comes from ``*_tables.json``.

    A task's id is its ``question_id``; ``train.json`` has none, so there it is the row number from 0.
    """

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, _is_rows, _PREFERRED)
        if not files:
            raise DataError(f"{path}: no file of BIRD's rows (db_id, question, SQL) in this folder")
        yield from _tasks(read_rows(files[0]), Layout(settings, files[0].parent), settings)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        yield from _tasks([(f"row {at}", row) for at, row in enumerate(given)], Layout(settings, None), settings)

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, _is_rows, _PREFERRED)) if path.is_dir() else _is_rows(path),
        rows=rows,
    )


def _tasks(rows: list[tuple[str, Mapping[str, Any]]], layout: Layout, settings: Settings) -> Iterator[Task]:
    ids = numbered(rows, "question_id")
    for own, (where, row) in zip(ids, rows, strict=True):
        db_id = needed(row, "db_id", where)
        database, schema = layout.look_up(db_id)
        task = make_task(
            own,
            needed(row, "question", where),
            row["SQL"] if isinstance(row.get("SQL"), str) else [],
            database=database,
            db_id=db_id,
            hint=row["evidence"] if isinstance(row.get("evidence"), str) else "",
            difficulty=row["difficulty"] if isinstance(row.get("difficulty"), str) else "",
            match="set",
        )
        yield show_schema(task, schema, settings.style)


def _is_rows(path: Path) -> bool:
    if not is_json(path):
        return False
    row = first_object(path) or {}
    return all(isinstance(row.get(key), str) for key in ("db_id", "question", "SQL"))
