"""Opening a SQLite file so that no statement on the connection can do anything but read it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from honewise.errors import SandboxError

from .worker import current_request

__all__ = ["TABLE_VALUED", "Identity", "identity", "located", "make_known", "open_guarded", "refuse_long_formats"]

Identity = tuple[int, ...]

_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FUNCTIONS = frozenset(
    ["load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "fsdir", "lsmode", "zipfile", "sqlite_log"]
)
_PRAGMAS = frozenset(
    ["foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_list", "table_xinfo"]
)
_NEEDED_BY_FTS5 = "data_version"
TABLE_VALUED = re.compile(r"\b(json_each|json_tree|pragma_(?:" + "|".join(_PRAGMAS) + r"))\b", re.IGNORECASE)
"""The table-valued functions that a statement may use."""
_LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 500,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 1000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 32,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 250_000,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA query_only=ON",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cell_size_check=ON",
)
_PLAIN = 4


def located(database: str | Path) -> tuple[str, Identity]:
    """Where the file really stands (a log stands beside the file, not beside a link to it), and its identity.

    Raises ``SandboxError`` where there is no such file. Within one request to a worker, which is a handful of
    completions, what was seen less than 50 ms ago is not looked at again.
    """
    request = current_request()
    if not request:
        path = _real(database)
        return path, _identity(path)
    now = time.monotonic()
    found = _seen.get(database)
    if found is None or found[0] != request or now > found[1]:
        if len(_seen) > _MOST_SEEN:
            _seen.clear()
        path = _real(database)
        found = _seen[database] = (request, now + _FRESH, (path, _identity(path)))
    return found[2]


_FRESH, _MOST_SEEN = 0.05, 256
_seen: dict[str | Path, tuple[int, float, tuple[str, Identity]]] = {}


def identity(database: str | Path) -> Identity:
    """What changes when the file does: device, inode, size, time, and the same of a log or journal that is not empty.

    Raises ``SandboxError`` where there is no such file. Looks as often as ``located`` does.
    """
    return located(database)[1]


def _real(database: str | Path) -> str:
    path = os.path.abspath(database)
    return os.path.realpath(path) if os.path.islink(path) else path


def _identity(database: str) -> Identity:
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


def open_guarded(
    database: str, now: Identity, *, value_bytes: int, statement_bytes: int, memory_bytes: int
) -> sqlite3.Connection:
    """A connection to the file that is ``now`` so. Raises ``SandboxError`` where it is not a readable database."""
    connection = None
    try:
        if len(now) == _PLAIN:
            connection = _immutable(database)
        else:
            with tempfile.TemporaryDirectory(prefix="honewise-sql-") as folder:
                connection = _immutable(_settled_copy(database, now, folder))  # stays readable when the name is gone
        for setting in _SETTINGS:
            connection.execute(setting)
        connection.execute(f"PRAGMA hard_heap_limit={memory_bytes}")
        virtual = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage = 0").fetchall()
    except (OSError, sqlite3.Error, MemoryError) as error:
        if connection is not None:
            connection.close()
        raise SandboxError(f"the database {database!r} cannot be opened: {error}") from None
    for category, value in _LIMITS.items():
        connection.setlimit(category, value)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, statement_bytes + 16)
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
    make_known(connection, [name for (name,) in virtual])
    return connection


def refuse_long_formats(connection: sqlite3.Connection, value_bytes: int) -> None:
    """Make ``printf`` and ``format`` fail where the text would pass the limit, as all other functions do.

    SQLite's own give NULL then, which is an answer. These cost ten times as much, and are not to be had in views.
    """
    plain = sqlite3.connect(":memory:", check_same_thread=False)
    plain.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, value_bytes)

    def printf(*values: str | bytes | float | None) -> str | None:
        slots = "?" + ", ?" * (len(values) - 1)
        made: str | None = plain.execute(f"SELECT printf({slots})", values).fetchone()[0] if values else None
        if made is None and values and values[0] is not None:
            longer = plain.execute(f"SELECT printf('x' || {slots})", values).fetchone()[0]
            if longer is None:  # not because the text is empty, then
                raise OverflowError
        return made

    for name in ("printf", "format"):
        connection.create_function(name, -1, printf, deterministic=True)


def _immutable(path: str) -> sqlite3.Connection:
    uri = Path(path).absolute().as_uri() + "?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=0)


def _settled_copy(database: str, now: Identity, folder: str) -> str:
    """A copy whose log or journal has been worked in, as SQLite does on opening; the original is only read."""
    copy = os.path.join(folder, "copy.sqlite")
    for suffix in ("", "-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(database + suffix, copy + suffix)
    if _identity(database) != now:
        raise OSError("another process is writing to it")
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    finally:
        connection.close()
    return copy


def make_known(connection: sqlite3.Connection, tables: Sequence[str]) -> bool:
    """Let SQLite set up virtual tables. It declares them by statements of its own, which the authorizer would stop."""
    connection.set_authorizer(None)
    try:
        for name in {table.lower() for table in tables}:
            with contextlib.suppress(sqlite3.Error):
                connection.execute('SELECT 1 FROM "{}" LIMIT 0'.format(name.replace('"', '""'))).close()
    finally:
        connection.set_authorizer(_authorize)
    return bool(tables)


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _within: str | None) -> int:
    if action in _READING:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and (first in _PRAGMAS or first == _NEEDED_BY_FTS5):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
