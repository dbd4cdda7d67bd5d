"""``jsonl``: this plugin's own format, one JSON object a line; also core's form of a task, a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.data.formats import JSONL
from honewise.errors import DataError
from honewise_text_to_sql.schema import Schema, read_schema
from honewise_text_to_sql.tasks import make_task, show_schema

from .layout import Layout, Settings, choose, is_json, needed, numbered

__all__ = ["own"]

_FIELDS = frozenset({"id", "question", "sql", "database", "db_id", "hint", "difficulty", "match", "ordered", "meta"})


def own(settings: Settings) -> Reader:
    """``question`` and ``database`` (a file, from the folder of the rows) or ``db_id`` are needed; see the README."""

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, _is_rows, ())
        if not files:
            raise DataError(f"{path}: no file of rows with question and database in this folder")
        if "inputs" in (first_object(files[0]) or {}):
            yield from JSONL.read(files[0])
            return
        listed = [(f"{files[0]}:{number}", row) for number, row in read_jsonl(files[0])]
        yield from _tasks(listed, files[0].parent, settings)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        yield from _tasks([(f"row {at}", row) for at, row in enumerate(given)], None, settings)

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, _is_rows, ())) if path.is_dir() else _is_rows(path),
        rows=rows,
    )


def _tasks(listed: Sequence[tuple[str, Mapping[str, Any]]], home: Path | None, settings: Settings) -> Iterator[Task]:
    layout = Layout(settings, home)
    ids = numbered(listed, "id")
    for own_id, (where, row) in zip(ids, listed, strict=True):
        yield _task(own_id, where, row, layout, home, settings)


def _task(
    own_id: str, where: str, row: Mapping[str, Any], layout: Layout, home: Path | None, settings: Settings
) -> Task:
    _check(row, where)
    db_id = str(row.get("db_id") or "")
    if row.get("database"):
        database: Path | None = (home or Path()) / row["database"]
        assert database is not None
        if not database.is_file():
            raise DataError(f"{where}: the database {row['database']!r} is not there (looked for {database})")
        schema: Schema | None = read_schema(database)
    else:
        database, schema = layout.look_up(db_id)
    task = make_task(
        own_id,
        needed(row, "question", where),
        row.get("sql") or [],
        database=database,
        db_id=db_id,
        hint=str(row.get("hint") or ""),
        difficulty=str(row.get("difficulty") or ""),
        match=row.get("match") or "bag",
        ordered=row.get("ordered"),
        meta=row.get("meta"),
    )
    return show_schema(task, schema, settings.style)


def _check(row: Mapping[str, Any], where: str) -> None:
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    sql = row.get("sql") or []
    if not isinstance(sql, str) and not (isinstance(sql, list) and all(isinstance(each, str) for each in sql)):
        raise DataError(f"{where}: 'sql' must be a text or a list of texts, all of them accepted")
    for key in ("database", "db_id"):
        if row.get(key) is not None and not isinstance(row[key], str):
            raise DataError(f"{where}: {key!r} must be a text")
    if not row.get("database") and not row.get("db_id"):
        raise DataError(f"{where}: 'database' (a SQLite file) or 'db_id' is needed")
    if row.get("match") not in (None, "bag", "set"):
        raise DataError(f"{where}: 'match' is {row['match']!r}; allowed are 'bag' and 'set'")
    if not isinstance(row.get("ordered"), bool | None):
        raise DataError(f"{where}: 'ordered' must be true, false or null")
    if not isinstance(row.get("meta"), Mapping | None):
        raise DataError(f"{where}: 'meta' must be an object")


def _is_rows(path: Path) -> bool:
    if not is_json(path):
        return False
    if JSONL.recognise is not None and JSONL.recognise(path):
        return True
    row = first_object(path) or {}
    return "question" in row and ("database" in row or "db_id" in row) and not set(row) - _FIELDS
