"""Run a hostile statement in this process, so that it can only read and within limits.

Nothing here can stop a single long step inside SQLite (``instr`` on long strings): that takes a process that can be
killed. ``sql.run_sql`` is the door; this module is what stands behind it.

What holds for a statement on a guarded connection
    - The file is opened read-only and immutable: SQLite neither writes nor locks nor creates anything beside it. A
      database with a write-ahead log or a rollback journal that holds something is read from a private copy.
    - Only SELECT, WITH and VALUES. The authorizer allows reading, functions (but not ``load_extension``,
      ``fts3_tokenizer`` and the like), recursion, and table-valued forms of PRAGMAs that describe the schema.
      EXPLAIN is denied: what it returns answers no question.
    - Caps on the statement, each value, rows, the whole result, expression depth, patterns, program length, SQLite's
      heap; a wall-clock deadline that SQLite asks for every thousand operations.
    - Functions hidden in the schema of a hostile database do not run (``trusted_schema`` off).

Text that is not UTF-8 is decoded with U+FFFD in place of each wrong byte, so that it can be stored and printed.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import chain
from sys import getsizeof
from typing import Any, Literal

from honewise.errors import SandboxError

from .database import TABLE_VALUED, Identity, located, make_known, open_guarded, refuse_long_formats
from .tokens import only_statement, tokens
from .worker import running_model_text

__all__ = ["GRACE", "Identity", "Kind", "SqlLimits", "SqlResult", "run"]

GRACE = 0.25
"""Seconds past its limit after which a statement that SQLite does not interrupt is ended with its worker."""

Kind = Literal["ok", "syntax", "denied", "timeout", "too_large", "memory", "crashed", "error"]


@dataclass(frozen=True, slots=True)
class SqlLimits:
    """What one statement may use."""

    seconds: float = 5.0
    """Wall clock, from the start of the statement."""
    rows: int = 100_000
    value_bytes: int = 1_000_000
    """Of one string or blob, stored or computed, and of one stored row."""
    result_bytes: int = 64 << 20
    """Of the whole result, as Python objects."""
    statement_bytes: int = 100_000
    memory_bytes: int = 512 << 20
    """SQLite's heap. In a scoring worker, where it is shared, the lowest ever asked for holds."""


@dataclass(frozen=True, slots=True)
class SqlResult:
    """What a statement gave. Where ``kind`` is not "ok" there are no rows and ``error`` says why.

    syntax: it cannot be prepared, an unknown table or column included; denied: it does more than read, or is not one
    statement; timeout, too_large (statement, value, rows or result), memory: a limit; crashed: its process died; error:
    it failed while it ran. The rows are shared with a cache: do not change them.
    """

    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    """Values are None, int, float, str and bytes."""
    error: str | None = None
    kind: Kind = "ok"
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.kind == "ok"


_NOT_READING = re.compile(
    r"alter|analyze|attach|begin|commit|create|delete|detach|drop|end|explain|insert|pragma|reindex|release|replace"
    r"|rollback|savepoint|update|vacuum",
    re.IGNORECASE,
)
_TOO_LARGE = re.compile(
    r"too many (?!levels|SQL variables)|at most |Expression tree is too large|parser stack overflow"
    r"|LIKE or GLOB pattern too complex|string or blob too big|query string is too large"
)
_FIRST_WORD = re.compile(r"\s*+([A-Za-z]++)")
_FORMATS = re.compile(r"\b(?:printf|format)\s*+\(", re.IGNORECASE)
_STEPS = 1000
_ROW_BYTES = 64
_ROWS_AT_ONCE, _SMALL_ROW = 64, 4096
_MAX_OPEN = 32
_Key = tuple[str, SqlLimits, bool]
_BY_CODE: dict[int, Kind] = {
    sqlite3.SQLITE_INTERRUPT: "timeout",
    sqlite3.SQLITE_TOOBIG: "too_large",
    sqlite3.SQLITE_NOMEM: "memory",
    sqlite3.SQLITE_AUTH: "denied",
    sqlite3.SQLITE_READONLY: "denied",
}
_OURS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PROTOCOL,
    }
)


def run(database: str, sql: str, limits: SqlLimits, *, model_text: bool) -> SqlResult:
    """Run one statement here. ``model_text``: whom a hang or crash is blamed on. Raises ``SandboxError``."""
    key = (database, limits, _FORMATS.search(sql) is not None)
    with _lock:
        with running_model_text(False):
            connection = _connection(key)
        started = time.perf_counter()
        try:
            with running_model_text(model_text, seconds=limits.seconds + GRACE):
                result = _execute(connection, sql, limits)
        except SandboxError as error:
            _forget(key)
            raise SandboxError(f"the database {database!r} cannot be read: {error}") from None
        if result.kind == "memory":
            _forget(key)
        seconds = time.perf_counter() - started
        return SqlResult(result.columns, result.rows, result.error, result.kind, seconds)


def _execute(connection: sqlite3.Connection, sql: str, limits: SqlLimits, *, again: bool = False) -> SqlResult:
    refused = _refused(sql, limits)
    if refused is not None:
        return refused
    deadline = time.monotonic() + limits.seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        return _fetch(connection, sql, limits)
    except MemoryError:
        return SqlResult(error="out of memory", kind="memory")
    except UnicodeError as error:
        return SqlResult(error=f"not a text that SQLite takes: {error}", kind="syntax")
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        result = _explained(connection, sql, limits, error)
    finally:
        connection.set_progress_handler(None, 0)
    if result.kind in ("denied", "syntax") and not again and make_known(connection, TABLE_VALUED.findall(sql)):
        return _execute(connection, sql, limits, again=True)
    return result


def _refused(sql: str, limits: SqlLimits) -> SqlResult | None:
    """What is told without SQLite. The authorizer would stop most of it too, but lets EXPLAIN by."""
    size = len(sql)
    if size > limits.statement_bytes or (size * 4 > limits.statement_bytes and _utf8(sql) > limits.statement_bytes):
        return SqlResult(error=f"the statement is longer than {limits.statement_bytes} bytes", kind="too_large")
    match = _FIRST_WORD.match(sql)
    word = match[1] if match else next((t.text for t in tokens(sql) if t.text != ";"), "")
    if _NOT_READING.fullmatch(word):
        return SqlResult(error=f"{word.upper()} is not allowed: only SELECT, WITH and VALUES are", kind="denied")
    return None if word else SqlResult(error="there is no statement", kind="syntax")


def _utf8(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _fetch(connection: sqlite3.Connection, sql: str, limits: SqlLimits) -> SqlResult:
    cursor = connection.execute(sql)
    try:
        if cursor.description is None:
            return SqlResult(error="there is no statement", kind="syntax")
        columns = tuple(column[0] for column in cursor.description)
        rows: list[tuple[Any, ...]] = []
        left, at_once = limits.result_bytes, 1
        while part := cursor.fetchmany(at_once):
            size = sum(map(getsizeof, chain.from_iterable(part))) + _ROW_BYTES * len(part)
            at_once = _ROWS_AT_ONCE if size < _SMALL_ROW * len(part) else 1  # many wide rows may not fit into memory
            left -= size
            rows += part
            if left < 0 or len(rows) > limits.rows:
                bound = f"{limits.rows} rows" if left >= 0 else f"{limits.result_bytes} bytes"
                return SqlResult(columns, error=f"the result has more than {bound}", kind="too_large")
        return SqlResult(columns, rows)
    finally:
        cursor.close()


def _explained(connection: sqlite3.Connection, sql: str, limits: SqlLimits, error: Exception) -> SqlResult:
    """The result, or the ``SandboxError``, that stands for an exception of the ``sqlite3`` module."""
    said = str(error)
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return _refused_by_python(connection, sql, limits, said)
    primary = code & 0xFF
    if primary in _OURS and code != sqlite3.SQLITE_CORRUPT_VTAB:
        raise SandboxError(said)
    kind = _BY_CODE.get(primary)
    if kind is None:
        if said.startswith(("not authorized", "unsafe use of")):
            kind = "denied"
        elif _TOO_LARGE.match(said):
            kind = "too_large"
        else:
            kind = "error" if primary != sqlite3.SQLITE_ERROR or _can_be_prepared(connection, sql) else "syntax"
    return SqlResult(error=said, kind=kind)


def _refused_by_python(connection: sqlite3.Connection, sql: str, limits: SqlLimits, said: str) -> SqlResult:
    if "one statement" in said:
        alone = only_statement(sql)
        if alone is None or alone == sql:
            return SqlResult(error="more than one statement", kind="denied")
        return _execute(connection, alone, limits)
    if said.startswith("Could not decode") and connection.text_factory is str:
        connection.text_factory = _lenient
        return _execute(connection, sql, limits)
    return SqlResult(error=said, kind="too_large" if _TOO_LARGE.match(said) else "syntax")


def _can_be_prepared(connection: sqlite3.Connection, sql: str) -> bool:
    try:
        connection.execute("EXPLAIN " + sql).close()
    except (sqlite3.Error, sqlite3.Warning, MemoryError):
        return False
    return True


def _lenient(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


_lock = threading.Lock()
_open: OrderedDict[_Key, tuple[Identity, sqlite3.Connection]] = OrderedDict()
_left_by_fork: list[object] = []


def _connection(key: _Key) -> sqlite3.Connection:
    """A guarded connection to the file as it is now; the latest few stay open."""
    database, limits, formats = key
    _, now = located(database)
    found = _open.get(key)
    if found is not None and found[0] == now:
        _open.move_to_end(key)
        return found[1]
    _forget(key)
    connection = open_guarded(
        database,
        now,
        value_bytes=limits.value_bytes,
        statement_bytes=limits.statement_bytes,
        memory_bytes=limits.memory_bytes,
    )
    if formats:
        refuse_long_formats(connection, limits.value_bytes)
    _open[key] = (now, connection)
    while len(_open) > _MAX_OPEN:
        _open.popitem(last=False)[1][1].close()
    return connection


def _forget(key: _Key) -> None:
    found = _open.pop(key, None)
    if found is not None:
        found[1].close()


def _after_fork() -> None:
    # A connection must not be used or closed on this side of a fork.
    global _lock
    _lock = threading.Lock()
    _left_by_fork.extend(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
