"""What a database looks like: read from SQLite or from the ``tables.json`` of Spider and BIRD.

A database file is data that someone else made, so it is read through the SQL sandbox, as a model's query would be:
in a process that can be killed, and without a byte written to it or beside it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from honewise.errors import DataError, SandboxError
from honewise.sandbox import run_sql

__all__ = [
    "Column",
    "ForeignKey",
    "Schema",
    "Table",
    "describe",
    "fold",
    "from_tables_json",
    "read_descriptions",
    "read_schema",
]

_LIST = (
    "SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) <> 'sqlite_'"
    " ORDER BY rowid"
)
_SAMPLE_ROWS = 50
_SAMPLES = 3
_SAMPLE_WIDTH = 40
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Column:
    """``type`` is as declared (may be empty); ``samples`` are SQL literals of values that stand in it."""

    name: str
    type: str = ""
    key: bool = False
    samples: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[Column, ...]
    view: bool = False


@dataclass(frozen=True, slots=True)
class ForeignKey:
    table: str
    column: str
    other_table: str
    other_column: str


@dataclass(frozen=True, slots=True)
class Schema:
    """Tables in the order in which the database lists them, and their foreign keys."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def names(self) -> dict[str, list[str]]:
        """``{table: [column, ...]}``."""
        return {table.name: [column.name for column in table.columns] for table in self.tables}

    def only(self, tables: Iterable[str]) -> Schema:
        """The tables named (compared as SQLite compares names) and the foreign keys between them."""
        wanted = {fold(name) for name in tables}
        return Schema(
            tuple(table for table in self.tables if fold(table.name) in wanted),
            tuple(k for k in self.foreign_keys if fold(k.table) in wanted and fold(k.other_table) in wanted),
        )


def fold(name: str) -> str:
    """A name as SQLite compares it: without case, for the 26 ASCII letters only.

    >>> fold("SÄNGER")
    'sÄnger'
    """
    return name.translate(_ASCII_LOWER)


def read_schema(database: str | Path) -> Schema:
    """Tables, views, keys and a few sample values of a SQLite file. Cached by path, size and time of change.

    Raises ``DataError`` where the file is not a readable SQLite database.
    """
    path = Path(database)
    try:
        stat = path.stat()
    except OSError as problem:
        raise DataError(f"{path}: the database cannot be opened ({problem.strerror})") from problem
    return _read_cached(str(path.absolute()), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=512)
def _read_cached(path: str, size: int, _changed: int) -> Schema:
    if size == 0:
        raise DataError(f"{path}: the database file is empty")
    reader = _Reader(path)
    tables: list[Table] = []
    keys: list[ForeignKey] = []
    for name, kind in reader.needed(_LIST):
        columns = reader.columns(name)
        if not columns:  # a view whose tables are gone, or a virtual table without its module
            continue
        view = kind == "view"
        if not view:
            columns = reader.with_samples(name, columns)
        tables.append(Table(name, tuple(columns), view))
        keys.extend(reader.foreign_keys(name))
    return Schema(tuple(tables), tuple(_complete(keys, tables)))


class _Reader:
    """Statements of our own on one database file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def needed(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a statement that every readable database answers."""
        try:
            result = run_sql(self._path, sql)
        except SandboxError as problem:
            raise DataError(f"{self._path}: not a SQLite database that can be read ({problem})") from problem
        if not result.ok:
            raise DataError(f"{self._path}: its list of tables cannot be read ({result.error})")
        return result.rows

    def columns(self, table: str) -> list[Column]:
        found = self._rows(f"SELECT name, type, pk FROM pragma_table_info({_quoted(table)})")
        return [Column(name, (kind or "").strip(), bool(key)) for name, kind, key in found]

    def foreign_keys(self, table: str) -> list[ForeignKey]:
        sql = f'SELECT "from", "table", "to" FROM pragma_foreign_key_list({_quoted(table)}) ORDER BY id, seq'
        return [ForeignKey(table, column, other, target or "") for column, other, target in self._rows(sql)]

    def with_samples(self, table: str, columns: list[Column]) -> list[Column]:
        """The columns with values from the first rows; long ones and blobs are left where they are."""
        names = ['"' + column.name.replace('"', '""') + '"' for column in columns]
        shown = ", ".join(
            f"CASE WHEN typeof({name}) <> 'blob' AND length({name}) <= {_SAMPLE_WIDTH} THEN {name} END"
            for name in names
        )
        source = '"' + table.replace('"', '""') + '"'
        rows = self._rows(f"SELECT {shown} FROM {source} LIMIT {_SAMPLE_ROWS}")
        return [replace(column, samples=_samples(row[at] for row in rows)) for at, column in enumerate(columns)]

    def _rows(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            result = run_sql(self._path, sql)
        except SandboxError:
            return []
        return result.rows if result.ok else []


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _complete(keys: Iterable[ForeignKey], tables: Sequence[Table]) -> Iterator[ForeignKey]:
    """Name the column of a key that only names its table: it means that table's primary key."""
    by_name = {fold(table.name): table for table in tables}
    for key in keys:
        other = by_name.get(fold(key.other_table))
        if other is None:
            continue
        primary = [column.name for column in other.columns if column.key]
        target = key.other_column or (primary[0] if primary else "")
        if target:
            yield replace(key, other_table=other.name, other_column=target)


def _samples(values: Iterable[Any]) -> tuple[str, ...]:
    """The first different values as SQL literals: no NULL, no blob, no text too long to help."""
    kept: dict[str, None] = {}
    for value in values:
        literal = _literal(value)
        if literal is not None:
            kept.setdefault(literal)
        if len(kept) == _SAMPLES:
            break
    return tuple(kept)


def _literal(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):
        return None
    if isinstance(value, str):
        flat = " ".join(value.split())
        if not flat or flat != value or len(flat) > _SAMPLE_WIDTH or not flat.isprintable():
            return None
        return _quoted(flat)
    return repr(value)


def from_tables_json(entry: Mapping[str, Any]) -> Schema:
    """The schema of one entry of ``tables.json`` (Spider, and BIRD's ``dev_tables.json``).

    ``primary_keys`` may hold column numbers or lists of them. BIRD's readable column names become descriptions
    where they differ from the names themselves. Raises ``KeyError``, ``TypeError`` or ``IndexError`` on an entry
    that is not of this layout; readers turn these into ``DataError``.
    """
    tables = list(entry["table_names_original"])
    originals = list(entry["column_names_original"])
    readable = list(entry.get("column_names") or originals)
    types = list(entry.get("column_types") or [])
    keys = {
        number for item in entry.get("primary_keys") or [] for number in (item if isinstance(item, list) else [item])
    }
    columns: list[list[Column]] = [[] for _ in tables]
    for number, (owner, name) in enumerate(originals):
        if owner < 0:
            continue
        said = str(readable[number][1]) if number < len(readable) else ""
        columns[owner].append(
            Column(
                str(name),
                str(types[number]) if number < len(types) else "",
                number in keys,
                description=said if _plain(said) != _plain(str(name)) else "",
            )
        )
    links = [
        ForeignKey(tables[originals[a][0]], originals[a][1], tables[originals[b][0]], originals[b][1])
        for a, b in entry.get("foreign_keys") or []
    ]
    return Schema(tuple(Table(str(t), tuple(c)) for t, c in zip(tables, columns, strict=True)), tuple(links))


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def describe(schema: Schema, said: Mapping[tuple[str, str], str]) -> Schema:
    """The schema with the descriptions of ``{(folded table, folded column): text}`` put in."""
    tables = [
        replace(
            table,
            columns=tuple(
                replace(column, description=said.get((fold(table.name), fold(column.name)), column.description))
                for column in table.columns
            ),
        )
        for table in schema.tables
    ]
    return replace(schema, tables=tuple(tables))


def read_descriptions(folder: Path) -> dict[tuple[str, str], str]:
    """The column descriptions of BIRD's ``database_description/<table>.csv`` files, as ``describe`` takes them.

    The files come in UTF-8 with and without a byte-order mark, in Windows-1252 and with stray NUL bytes; what is
    missing from them is missing from the result.
    """
    said: dict[tuple[str, str], str] = {}
    for file in sorted(folder.glob("*.[cC][sS][vV]")) if folder.is_dir() else ():
        for row in csv.DictReader(io.StringIO(_decoded(file))):
            fields = {str(k).strip().lower(): " ".join(v.split()) for k, v in row.items() if k and isinstance(v, str)}
            name = fields.get("original_column_name", "")
            parts = [
                fields.get("column_description") or fields.get("column_name", ""),
                fields.get("value_description", ""),
            ]
            parts = [part for part in parts if part and _plain(part) != _plain(name)]
            if name and parts:
                said[fold(file.stem), fold(name)] = "; ".join(parts)
    return said


def _decoded(file: Path) -> str:
    raw = file.read_bytes().replace(b"\x00", b"")
    if raw.startswith(b"\xef\xbb\xbf"):
        return raw[3:].decode("utf-8", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
