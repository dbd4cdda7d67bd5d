"""WikiSQL: ``{split}.jsonl`` with ``{split}.tables.jsonl`` and, where it is there, ``{split}.db``."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from honewise import Reader, Task, UserError
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError
from honewise_text_to_sql.samples import cache_folder
from honewise_text_to_sql.schema import Column, Schema, Table
from honewise_text_to_sql.tasks import make_task, show_schema

from .layout import Settings, choose, is_json

__all__ = ["query_of", "wikisql"]

_AGGREGATES = ("", "MAX", "MIN", "COUNT", "SUM", "AVG")
_OPERATORS = ("=", ">", "<", None)  # the fourth that is published, "OP", stands for none
_NUMBER = re.compile(r"[-+]?\d*\.\d+|\d+")
_PREFERRED = ("dev.jsonl", "test.jsonl", "train.jsonl")
_HINT = "Text in this table is stored in lower case."
_SHOWN = 3

Entry = Mapping[str, Any]


def wikisql(settings: Settings) -> Reader:
    """Single-table questions; a task's id is its row number from 0.

    Tables and columns are named as in the published database: ``table_1_1000181_1`` and ``col0``, ``col1``, ...; the
    schema shows each column's heading as its description. As published, text is in lower case, and so are the values of
    the gold query. Where ``{split}.db`` is not there, an equal one is built from ``{split}.tables.jsonl`` in the
    cache folder.
    """

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, _is_rows, _PREFERRED)
        if not files:
            raise DataError(f"{path}: no file of WikiSQL's rows (question, table_id, sql) in this folder")
        stem = files[0].name.removesuffix(".gz").removesuffix(".jsonl")
        tables = _tables(files[0].parent, stem)
        database = _database(files[0].parent, stem, settings)
        if database is None:
            database = _built(tables.values())
        for number, (line, row) in enumerate(read_jsonl(files[0])):
            yield _task(number, f"{files[0]}:{line}", row, tables, database, settings)

    def rows(given: Iterable[Entry]) -> Iterator[Task]:
        listed = [_plain_row(row) for row in given]
        tables = {str(row["table"]["id"]): row["table"] for row in listed}
        database = _built(tables.values())
        for number, row in enumerate(listed):
            yield _task(number, f"row {number}", row, tables, database, settings)

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, _is_rows, _PREFERRED)) if path.is_dir() else _is_rows(path),
        rows=rows,
    )


def _task(number: int, where: str, row: Entry, tables: Mapping[str, Entry], database: Path, settings: Settings) -> Task:
    try:
        entry = tables[str(row["table_id"])]
        name = _name(str(row["table_id"]))
        sql: str | list[str] = query_of(name, entry["types"], row["sql"]) or []
        question = row["question"]
        schema = _schema(name, entry)
    except (KeyError, TypeError, IndexError, ValueError) as problem:
        raise DataError(
            f"{where}: not a row of WikiSQL, or its table is not in the tables file ({_said(problem)})"
        ) from problem
    task = make_task(str(number), question, sql, database=database, db_id=name, hint=_HINT)
    return show_schema(task, schema, settings.style)


def _said(problem: Exception) -> str:
    return f"no {problem}" if isinstance(problem, KeyError) else str(problem)


def query_of(table: str, types: Any, sql: Any) -> str | None:
    """The SQL text of ``{"sel": column, "agg": operation, "conds": [[column, operator, value], ...]}``.

    None where a condition has the operator 3, "OP", which the published list holds and which means nothing.
    Values of conditions are written as literals: text in lower case, and on number columns as the number in it,
    as WikiSQL's own evaluation does.

    >>> query_of("table_1", ["text", "real"], {"sel": 0, "agg": 3, "conds": [[0, 0, "O'Neil"], [1, 1, "1,200"]]})
    "SELECT COUNT(col0) FROM table_1 WHERE col0 = 'o''neil' AND col1 > 1200.0"
    """
    selected = f"col{_known(int(sql['sel']), types, 'column')}"
    aggregate = _AGGREGATES[_known(sql["agg"], _AGGREGATES, "aggregate")]
    if aggregate:
        selected = f"{aggregate}({selected})"
    conditions = []
    for column, number, value in sql["conds"]:
        kind = types[_known(column, types, "column")]
        operator = _OPERATORS[_known(number, _OPERATORS, "operator")]
        if operator is None:
            return None
        conditions.append(f"col{int(column)} {operator} {_literal(value, kind)}")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {selected} FROM {table}{where}"


def _known(number: int, those: Sequence[Any], what: str) -> int:
    if not 0 <= number < len(those):
        raise ValueError(f"{what} {number}; there are 0 to {len(those) - 1}")
    return number


def _literal(value: Any, kind: str) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = str(value).lower()
    if kind == "real":
        number = _number(text)
        if number is not None:
            return repr(number)
    return "'" + text.replace("\x00", "").replace("'", "''") + "'"


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        found = _NUMBER.findall(text)
        return float(found[0]) if found else None


def _name(table_id: str) -> str:
    name = table_id if table_id.startswith("table") else "table_" + table_id.replace("-", "_")
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"{table_id!r} is no table id")
    return name


def _schema(name: str, entry: Entry) -> Schema:
    columns = [
        Column(f"col{at}", str(kind).upper(), samples=_samples(entry, at), description=" ".join(str(heading).split()))
        for at, (heading, kind) in enumerate(zip(entry["header"], entry["types"], strict=True))
    ]
    return Schema((Table(name, tuple(columns)),))


def _samples(entry: Entry, at: int) -> tuple[str, ...]:
    values = [_stored(row[at], entry["types"][at]) for row in (entry.get("rows") or [])[:_SHOWN]]
    shown = [
        _literal(value, "text") if isinstance(value, str) else repr(value) for value in values if value is not None
    ]
    return tuple(dict.fromkeys(text for text in shown if len(text) <= 40 and text.isprintable()))


def _stored(value: Any, kind: str) -> str | float | int | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    text = str(value).lower()
    if kind == "real":
        try:
            return float(text.replace(",", ""))
        except ValueError:
            return text
    return text


def _tables(home: Path, stem: str) -> dict[str, Entry]:
    for path in (home / f"{stem}.tables.jsonl", home / f"{stem}.tables.jsonl.gz"):
        if path.is_file():
            return {str(row.get("id")): row for _, row in read_jsonl(path)}
    raise DataError(f"{home / stem}.tables.jsonl: no such file; WikiSQL's rows need the tables beside them")


def _database(home: Path, stem: str, settings: Settings) -> Path | None:
    for folder in (settings.databases, home):
        if folder is not None and (folder / f"{stem}.db").is_file():
            return folder / f"{stem}.db"
    return None


def _built(tables: Iterable[Entry]) -> Path:
    """A database with the rows of all tables, named by its content; safe with several processes at once."""
    listed = list(tables)
    digest = hashlib.sha256()
    for entry in listed:
        digest.update(repr((entry.get("id"), entry.get("types"), entry.get("rows"))).encode("utf-8", "replace"))
    path = cache_folder() / f"wikisql-{digest.hexdigest()[:16]}.sqlite"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=".wikisql-", suffix=".part", dir=path.parent)
        os.close(handle)
        try:
            with closing(sqlite3.connect(part, isolation_level=None)) as connection:
                _fill(connection, listed)
            os.chmod(part, 0o444)
            os.replace(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)
    except OSError as problem:
        raise UserError(
            f"{path}: the database of WikiSQL's tables cannot be written ({problem.strerror}); "
            "set HONEWISE_CACHE to a writable folder"
        ) from problem
    return path


def _fill(connection: sqlite3.Connection, tables: Iterable[Entry]) -> None:
    connection.execute("BEGIN")
    for entry in tables:
        name, types = _name(str(entry["id"])), list(entry["types"])
        columns = ", ".join(f"col{at} {'real' if kind == 'real' else 'text'}" for at, kind in enumerate(types))
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
        marks = ", ".join("?" * len(types))
        rows = [
            [_stored(value, kind) for value, kind in zip(row, types, strict=True)] for row in entry.get("rows") or []
        ]
        connection.executemany(f"INSERT INTO {name} VALUES ({marks})", rows)
    connection.execute("COMMIT")


def _plain_row(row: Entry) -> Entry:
    """A row of the Hugging Face form, whose table is inside and whose conditions are columns of their own."""
    conditions = row["sql"]["conds"]
    if isinstance(conditions, Mapping):
        triples = zip(conditions["column_index"], conditions["operator_index"], conditions["condition"], strict=True)
        sql = {**row["sql"], "conds": [list(triple) for triple in triples]}
    else:
        sql = row["sql"]
    return {"question": row["question"], "table_id": row["table"]["id"], "table": row["table"], "sql": sql}


def _is_rows(path: Path) -> bool:
    if not is_json(path):
        return False
    row = first_object(path) or {}
    sql = row.get("sql")
    return "table_id" in row and "question" in row and isinstance(sql, dict) and "sel" in sql
