"""SQLite connections on which a hostile statement can only read: opened, limited and used in this process.

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

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from sys import getsizeof
from typing import Any, Literal

from honewise.errors import SandboxError

from .tokens import only_statement, tokens
from .worker import running_model_text

__all__ = ["Identity", "Kind", "SqlLimits", "SqlResult", "identity", "run"]

Kind = Literal["ok", "syntax", "denied", "timeout", "too_large", "memory", "crashed", "error"]
Identity = tuple[int, ...]


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


_STATEMENTS = frozenset(
    [
        "alter",
        "analyze",
        "attach",
        "begin",
        "commit",
        "create",
        "delete",
        "detach",
        "drop",
        "end",
        "explain",
        "insert",
        "pragma",
        "reindex",
        "release",
        "replace",
        "rollback",
        "savepoint",
        "update",
        "vacuum",
    ]
)
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FUNCTIONS = frozenset(
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "lsmode", "zipfile", "sqlite_log"]
)
_PRAGMAS = frozenset(
    [
        "collation_list",
        "compile_options",
        "foreign_key_list",
        "function_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "module_list",
        "table_info",
        "table_list",
        "table_xinfo",
    ]
)
_TABLE_VALUED = re.compile(r"\b(json_each|json_tree|pragma_(?:" + "|".join(_PRAGMAS) + r"))\b", re.IGNORECASE)
_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 250_000,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_TOO_LARGE = re.compile(
    r"too many (?!levels|SQL variables)|at most |Expression tree is too large|parser stack overflow"
    r"|LIKE or GLOB pattern too complex|string or blob too big|query string is too large"
)
_FIRST_WORD = re.compile(r"\s*+([A-Za-z]++)")
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA query_only=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cell_size_check=ON",
)
_STEPS = 1000
_ROW_BYTES = 64
_MAX_OPEN = 32
_PLAIN = 4
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


def identity(database: str) -> Identity:
    """What changes when the file does: device, inode, size, time, and the same of a log or journal that is not empty.

    Raises ``SandboxError`` where there is no such file.
    """
    try:
        status = os.stat(database)
    except (OSError, ValueError) as error:
        raise SandboxError(f"the database {database!r} cannot be read: {error}") from None
    if not stat.S_ISREG(status.st_mode):
        raise SandboxError(f"the database {database!r} is not a file")
    found: Identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    for suffix in ("-wal", "-journal"):
        try:
            side = os.stat(database + suffix)
        except OSError:
            continue
        if side.st_size:
            found += (side.st_ino, side.st_size, side.st_mtime_ns)
    return found


def run(database: str, sql: str, limits: SqlLimits, *, model_text: bool) -> SqlResult:
    """Run one statement here. ``model_text``: whom a hang or crash is blamed on. Raises ``SandboxError``."""
    with _lock:
        with running_model_text(False):
            connection = _connection(database, limits)
        started = time.perf_counter()
        try:
            with running_model_text(model_text):
                result = _execute(connection, sql, limits)
        except SandboxError as error:
            _forget(database, limits)
            raise SandboxError(f"the database {database!r} cannot be read: {error}") from None
        if result.kind == "memory":
            _forget(database, limits)
        return replace(result, seconds=time.perf_counter() - started)


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
    if result.kind == "denied" and not again and _make_known(connection, _TABLE_VALUED.findall(sql)):
        return _execute(connection, sql, limits, again=True)
    return result


def _make_known(connection: sqlite3.Connection, tables: Sequence[str]) -> bool:
    """Let SQLite set up virtual tables. It declares them by statements of its own, which the authorizer would stop."""
    connection.set_authorizer(None)
    for name in {table.lower() for table in tables}:
        with contextlib.suppress(sqlite3.Error):
            connection.execute('SELECT 1 FROM "{}" LIMIT 0'.format(name.replace('"', '""'))).close()
    connection.set_authorizer(_authorize)
    return bool(tables)


def _refused(sql: str, limits: SqlLimits) -> SqlResult | None:
    """What is told without SQLite. The authorizer would stop most of it too, but lets EXPLAIN by."""
    size = len(sql)
    if size > limits.statement_bytes or (size * 4 > limits.statement_bytes and _utf8(sql) > limits.statement_bytes):
        return SqlResult(error=f"the statement is longer than {limits.statement_bytes} bytes", kind="too_large")
    match = _FIRST_WORD.match(sql)
    word = match[1] if match else next((t.text for t in tokens(sql) if t.text != ";"), "")
    if word.lower() in _STATEMENTS:
        return SqlResult(error=f"{word[:20].upper()} is not allowed: only SELECT, WITH and VALUES are", kind="denied")
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
        left = limits.result_bytes
        for row in cursor:
            left -= sum(map(getsizeof, row)) + _ROW_BYTES
            if left < 0 or len(rows) == limits.rows:
                bound = f"{limits.rows} rows" if left >= 0 else f"{limits.result_bytes} bytes"
                return SqlResult(columns, error=f"the result has more than {bound}", kind="too_large")
            rows.append(row)
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
        if said.startswith("not authorized"):
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
_open: OrderedDict[tuple[str, SqlLimits], tuple[Identity, sqlite3.Connection]] = OrderedDict()
_left_by_fork: list[object] = []


def _connection(database: str, limits: SqlLimits) -> sqlite3.Connection:
    """A guarded connection to the file as it is now; the latest few stay open."""
    now = identity(database)
    key = (database, limits)
    found = _open.get(key)
    if found is not None and found[0] == now:
        _open.move_to_end(key)
        return found[1]
    _forget(database, limits)
    connection = _guarded(database, now, limits)
    _open[key] = (now, connection)
    while len(_open) > _MAX_OPEN:
        _open.popitem(last=False)[1][1].close()
    return connection


def _forget(database: str, limits: SqlLimits) -> None:
    found = _open.pop((database, limits), None)
    if found is not None:
        found[1].close()


def _guarded(database: str, now: Identity, limits: SqlLimits) -> sqlite3.Connection:
    try:
        if len(now) == _PLAIN:
            connection = _immutable(database)
        else:
            with tempfile.TemporaryDirectory(prefix="honewise-sql-") as folder:
                connection = _immutable(_settled_copy(database, now, folder))  # stays readable when the name is gone
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.execute(f"PRAGMA hard_heap_limit={limits.memory_bytes}")
        virtual = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage = 0").fetchall()
    except (OSError, sqlite3.Error, MemoryError) as error:
        raise SandboxError(f"the database {database!r} cannot be opened: {error}") from None
    for category, value in _LIMITS.items():
        connection.setlimit(category, value)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, limits.statement_bytes + 16)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    _make_known(connection, [name for (name,) in virtual])
    return connection


def _immutable(path: str) -> sqlite3.Connection:
    uri = Path(path).absolute().as_uri() + "?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=0)


def _settled_copy(database: str, now: Identity, folder: str) -> str:
    """A copy whose log or journal has been worked in, as SQLite does on opening; the original is only read."""
    copy = os.path.join(folder, "copy.sqlite")
    for suffix in ("", "-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(database + suffix, copy + suffix)
    if identity(database) != now:
        raise OSError("another process is writing to it")
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    finally:
        connection.close()
    return copy


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _within: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() in _PRAGMAS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _after_fork() -> None:
    # A connection must not be used or closed on this side of a fork.
    global _lock
    _lock = threading.Lock()
    _left_by_fork.extend(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
