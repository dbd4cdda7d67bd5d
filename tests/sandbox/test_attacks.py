"""Hostile statements: refused or cut off in time, they change nothing, take bounded memory and harm no later one."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest

from honewise.sandbox import SqlLimits, SqlResult, run_sql, service
from honewise.sandbox.process import WorkerProcess, WorkerTimeout

LIMITS = SqlLimits(
    seconds=0.3,
    rows=10_000,
    value_bytes=1_000_000,
    result_bytes=16 << 20,
    memory_bytes=64 << 20,
    statement_bytes=100_000,
)
EXTRA = 0.5
MEMORY = 256 << 20
"""Of the whole worker: the interpreter, the heap of SQLite, the result twice, and what malloc keeps."""

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
LONG = "replace(hex(zeroblob(200000)), '00', 'ab')"

CHANGES = {
    "delete": "DELETE FROM pet",
    "drop": "DROP TABLE pet",
    "drop if exists": "drop table if exists pet",
    "update returning": "UPDATE pet SET name = 'x' RETURNING *",
    "insert": "INSERT INTO pet VALUES (9, 'x', 1)",
    "insert returning": "INSERT INTO pet VALUES (9, 'x', 1) RETURNING id",
    "replace": "REPLACE INTO pet VALUES (1, 'x', 1)",
    "create": "CREATE TABLE stolen (a)",
    "create temp": "CREATE TEMP TABLE stolen AS SELECT * FROM pet",
    "create temp trigger": "CREATE TEMP TRIGGER t AFTER INSERT ON pet BEGIN SELECT 1; END",
    "create temp view": "CREATE TEMP VIEW v AS SELECT 1",
    "create virtual": "CREATE VIRTUAL TABLE v USING fts5(a)",
    "create index": "CREATE INDEX i ON pet (name)",
    "alter": "ALTER TABLE pet RENAME TO cat",
    "vacuum": "VACUUM",
    "vacuum into": "VACUUM INTO '{folder}/stolen.sqlite'",
    "vacuum into here": "VACUUM main INTO 'stolen.sqlite'",
    "attach": "ATTACH '{folder}/stolen.sqlite' AS stolen",
    "attach uri": "ATTACH DATABASE 'file:stolen.sqlite?mode=rwc' AS stolen",
    "detach": "DETACH main",
    "pragma writable_schema": "PRAGMA writable_schema = ON",
    "pragma journal_mode": "PRAGMA journal_mode = WAL",
    "pragma user_version": "PRAGMA user_version = 7",
    "pragma query_only": "PRAGMA query_only = OFF",
    "pragma hard_heap_limit": "PRAGMA hard_heap_limit = 0",
    "pragma wal_checkpoint": "PRAGMA wal_checkpoint(TRUNCATE)",
    "begin": "BEGIN EXCLUSIVE",
    "savepoint": "SAVEPOINT s",
    "reindex": "REINDEX",
    "analyze": "ANALYZE",
    "explain": "EXPLAIN DELETE FROM pet",
    "with delete": "WITH x AS (SELECT 1) DELETE FROM pet",
    "with insert": "WITH x AS (SELECT 1) INSERT INTO pet SELECT 9, 'x', 1 FROM x RETURNING id",
    "with replace": "WITH x AS (VALUES (1)) REPLACE INTO pet SELECT 1, 'x', 1",
    "pragma as table": "SELECT * FROM pragma_journal_mode",
    "pragma as table with argument": "SELECT * FROM pragma_user_version(7)",
    "load_extension": "SELECT load_extension('{folder}/x.so')",
    "load_extension with entry": "SELECT LOAD_EXTENSION('{folder}/x', 'sqlite3_x_init')",
    "fts3_tokenizer": "SELECT fts3_tokenizer('simple')",
    "fts3_tokenizer write": "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "two statements": "SELECT 1; DROP TABLE pet",
    "two statements, comment": "SELECT 1 /* ; */ ; -- ok\n DROP TABLE pet --",
    "two statements, tail": "SELECT 1;;; SELECT 2",
    "comment first": "/* SELECT */ DROP TABLE pet",
    "line comment first": "-- SELECT 1\n\tDELETE FROM pet",
    "semicolon first": ";; DELETE FROM pet",
    "byte order mark": "\ufeffDELETE FROM pet",
}
UNREADABLE = {
    "readfile": "SELECT readfile('/etc/passwd')",
    "writefile": "SELECT writefile('{folder}/stolen', 'x')",
    "edit": "SELECT edit('x', 'touch {folder}/stolen')",
    "fsdir": "SELECT * FROM fsdir('/')",
    "sqlite_dbpage": "SELECT * FROM sqlite_dbpage",
    "shell command": ".shell touch {folder}/stolen",
    "shell dump": ".output {folder}/stolen",
    "nul": "SELECT 1\0; DROP TABLE pet",
    "nul in string": "SELECT 'a\0b'",
    "lone surrogate": "SELECT '\ud800'",
    "open string": "SELECT 'abc",
    "open comment": "/* SELECT 1",
    "parameter": "SELECT ?1, :name",
    "nothing": " \n;-- nothing\n",
    "schema table": "WITH x AS (SELECT 1) UPDATE sqlite_master SET sql = 'x'",
    "prose": "I would delete the table pet.",
}
TOO_LARGE = {
    "hex bomb": "SELECT hex(zeroblob(400000000))",
    "zeroblob": "SELECT zeroblob(1000000000)",
    "zeroblob length": "SELECT length(zeroblob(1000001))",
    "randomblob": "SELECT length(randomblob(1000000000))",
    "printf width": "SELECT length(printf('%1000000000d', 1))",
    "printf precision": "SELECT length(printf('%.1000000000f', 1.0))",
    "printf star": "SELECT printf('%*s', 2000000000, 'x')",
    "replace growth": f"SELECT length(replace({LONG}, 'a', {LONG}))",
    "concat growth": "WITH RECURSIVE c(x) AS (SELECT 'ab' UNION ALL SELECT x || x FROM c) SELECT max(length(x)) FROM c",
    "group_concat": f"SELECT length(group_concat({LONG})) FROM big",
    "quote": "SELECT length(quote(zeroblob(900000)))",
    "json growth": f"SELECT length(json_group_array({LONG})) FROM big",
    "many rows": "SELECT a.n, b.n FROM big a, big b",
    "large rows": f"SELECT {LONG}, {LONG}, n FROM big",
    "wide row": "SELECT " + ", ".join([f"hex(zeroblob(400000 + {n}))" for n in range(30)]) + " FROM big",
    "statement of a megabyte": "SELECT '" + "x" * 1_000_000 + "'",
    "statement of a megabyte of blanks": "SELECT 1" + " " * 1_000_000,
    "statement of wide characters": "SELECT '" + "é" * 60_000 + "'",
    "IN list of a megabyte": "SELECT 1 WHERE 1 IN (" + ",".join(map(str, range(150_000))) + ")",
    "deep parentheses": "SELECT " + "(" * 5000 + "1" + ")" * 5000,
    "deep subqueries": "SELECT * FROM " + "(SELECT * FROM " * 400 + "pet" + ")" * 400,
    "deep expression": "SELECT 1" + "+1" * 5000,
    "deep NOT": "SELECT " + "NOT " * 5000 + "1",
    "many unions": "SELECT 1" + " UNION ALL SELECT 1" * 1000,
    "many joins": "SELECT 1 FROM " + ", ".join(f"pet t{n}" for n in range(200)),
    "many columns": "SELECT " + ", ".join(["1"] * 5000),
    "many arguments": "SELECT max(" + ", ".join(["1"] * 500) + ")",
    "LIKE pattern": f"SELECT 'x' LIKE {LONG}",
    "GLOB pattern": f"SELECT {LONG} GLOB {LONG}",
}
ENDLESS_WORK = {
    "recursion": ENDLESS + "SELECT count(*) FROM c",
    "recursion in filter": "SELECT 1 WHERE EXISTS (" + ENDLESS + "SELECT 1 FROM c WHERE x < 0)",
    "cross join": "SELECT count(*) FROM big a, big b, big c, big d",
    "cross join of sums": "SELECT sum(a.n * b.n - c.n) FROM big a CROSS JOIN big b CROSS JOIN big c",
    "correlated": "SELECT max((SELECT count(*) FROM big b, big c WHERE b.n + c.n > a.n)) FROM big a",
    "slow steps": "SELECT sum(length(hex(randomblob(400000)))) FROM big a, big b",
    "instr": "SELECT instr(zeroblob(900000) || x'01', zeroblob(450000) || x'02')",
    "LIKE bomb": f"SELECT sum({LONG} || a.n LIKE '%a%a%a%a%a%c%a%') FROM big a, big b",
    "LIKE quadratic": f"SELECT max({LONG} || a.n LIKE '%{'ab_' * 300}%') FROM big a, big b",
    "GLOB bomb": f"SELECT max({LONG} || a.n GLOB '*{'[a-b]' * 190}c*') FROM big a, big b",
    "replace": f"SELECT max(length(replace({LONG} || a.n, 'ab', 'a'))) FROM big a, big b",
    "json parse": f"SELECT max(json_valid('[' || replace({LONG}, 'ab', '1,') || a.n || ']')) FROM big a, big b",
    "window": "SELECT sum(s) FROM (SELECT sum(a.n) OVER (ORDER BY a.n, b.n ROWS 100000 PRECEDING) s FROM big a, big b)",
}
MEMORY_HOGS = {
    "sort": "SELECT hex(randomblob(50000)) AS x FROM big a, big b ORDER BY x",
    "distinct": "SELECT count(*) FROM (SELECT DISTINCT hex(randomblob(20000)) FROM big a, big b)",
    "group": "SELECT count(*) FROM (SELECT 1 FROM big a, big b GROUP BY hex(randomblob(20000)))",
    "union": "SELECT count(*) FROM (SELECT hex(randomblob(20000)) FROM big a, big b UNION SELECT 'x')",
    "materialised": "WITH m AS MATERIALIZED (SELECT hex(randomblob(20000)) h FROM big a, big b) SELECT count(h) FROM m",
    "recursion queue": "WITH RECURSIVE c(x) AS (SELECT hex(randomblob(20000)) UNION ALL SELECT x || n FROM c, big) "
    "SELECT count(*) FROM c",
    "window frame": "SELECT count(l) FROM (SELECT lag(hex(randomblob(20000)), 100000) OVER () l FROM big a, big b)",
}
ATTACKS: dict[str, tuple[str, set[str]]] = {
    **{f"changes: {name}": (sql, {"denied"}) for name, sql in CHANGES.items()},
    **{f"unreadable: {name}": (sql, {"syntax"}) for name, sql in UNREADABLE.items()},
    **{f"too large: {name}": (sql, {"too_large", "memory"}) for name, sql in TOO_LARGE.items()},
    # A window holds its rows: whether time or memory runs out first is a matter of the machine.
    **{f"endless: {name}": (sql, {"timeout", "memory"}) for name, sql in ENDLESS_WORK.items()},
    **{f"memory: {name}": (sql, {"memory"}) for name, sql in MEMORY_HOGS.items()},
}
MEMORY_ATTACKS = {f"memory: {name}" for name in MEMORY_HOGS}
"""With time enough to take more memory than they may."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("attacked") / "pets.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);
        INSERT INTO pet VALUES (1, 'Tom', 3), (2, 'Ann', NULL);
        CREATE TABLE big (n INTEGER);
        WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 2000) INSERT INTO big SELECT x FROM c;
        """
    )
    connection.close()
    return path


class Pool:
    """What the scoring pool does: the statement runs in place in a worker, which is killed where it hangs."""

    def __init__(self) -> None:
        self.worker = WorkerProcess("sandbox_targets:statements")

    def __call__(self, database: Path, sql: str, limits: SqlLimits = LIMITS) -> SqlResult:
        if not self.worker.alive:
            self.worker.restart()
        self.worker.wait_ready()
        try:
            reply = self.worker.request([str(database), sql, astuple(limits)], timeout=limits.seconds + EXTRA / 2)
        except WorkerTimeout:
            assert self.worker.blamed
            return SqlResult(kind="timeout", error="killed")
        columns, rows, error, kind, seconds = reply
        return SqlResult(tuple(columns), [tuple(row) for row in rows], error, kind, seconds)


class Own:
    """``run_sql`` as anybody calls it."""

    @property
    def worker(self) -> WorkerProcess:
        worker = service._service._worker
        assert worker is not None
        return worker

    def __call__(self, database: Path, sql: str, limits: SqlLimits = LIMITS) -> SqlResult:
        return run_sql(database, sql, limits)


@pytest.fixture(scope="module", params=[Own, Pool], ids=["own process", "in a scoring worker"])
def run(request: pytest.FixtureRequest, database: Path) -> Iterator[Any]:
    runner = request.param()
    runner(database, "SELECT 1")
    yield runner
    runner.worker.close()


def state(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in folder.iterdir()
    }


def peak(pid: int) -> int:
    """The most memory that the process ever had resident, in bytes; 0 where that cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def test_there_are_enough_attacks() -> None:
    assert len(ATTACKS) >= 100


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_and_leaves_no_trace(run: Any, name: str, database: Path, tmp_path: Path) -> None:
    sql, kinds = ATTACKS[name]
    sql = sql.replace("{folder}", str(database.parent))
    assert run(
        database, "SELECT 1"
    ).ok  # where the last attack had its process killed, the next starts before the clock
    before = state(database.parent)
    limits = replace(LIMITS, seconds=5.0) if name in MEMORY_ATTACKS else LIMITS
    started = time.monotonic()
    result = run(database, sql, limits)
    seconds = time.monotonic() - started
    assert result.kind in kinds, result.error
    assert result.error
    assert result.rows == []
    assert seconds < limits.seconds + EXTRA
    assert peak(run.worker.pid) < MEMORY
    assert state(database.parent) == before
    assert os.listdir() == []
    assert run(database, "SELECT name FROM pet ORDER BY id").rows == [("Tom",), ("Ann",)]


def test_a_connection_is_as_guarded_after_an_attack_as_before(run: Any, database: Path) -> None:
    assert run(database, "SELECT count(*) FROM pragma_table_info('pet')").rows == [(3,)]
    assert run(database, "SELECT sum(value) FROM json_each('[1, 2]')").rows == [(3,)]
    assert run(database, "SELECT value, changes() FROM json_each('[1]'), pragma_journal_mode").kind == "denied"
    assert run(database, "WITH x AS (SELECT * FROM json_each('[1]')) DELETE FROM pet").kind == "denied"


@pytest.mark.parametrize("name", ["endless: recursion", "endless: cross join of sums", "memory: sort"])
def test_what_sqlite_itself_can_stop_costs_no_process(run: Any, name: str, database: Path) -> None:
    assert run(database, "SELECT 1").ok
    pid = run.worker.pid
    assert run(database, ATTACKS[name][0]).kind in ("timeout", "memory")
    assert run.worker.alive
    assert run.worker.pid == pid
