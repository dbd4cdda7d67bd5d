"""Statements that are no attack: what they give, from every kind of database file, thread, fork and worker."""

from __future__ import annotations

import concurrent.futures
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from honewise.errors import SandboxError
from honewise.sandbox import SqlLimits, SqlResult, reference_result, run_sql, service, sql
from honewise.sandbox.process import WorkerProcess, WorkerRaised

Run = Callable[..., SqlResult]


def build(path: Path, script: str) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return build(
        folder / "pets.sqlite",
        "CREATE TABLE pet (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO pet VALUES (1, 'Tom'), (2, 'Ann');",
    )


@pytest.fixture(scope="module")
def pool_worker() -> Iterator[WorkerProcess]:
    with WorkerProcess("sandbox_targets:statements") as worker:
        yield worker


@pytest.fixture(params=["own process", "in a scoring worker"])
def run(request: pytest.FixtureRequest, pool_worker: WorkerProcess) -> Run:
    if request.param == "own process":
        return run_sql

    def in_worker(database: Path, sql: str, limits: SqlLimits | None = None) -> SqlResult:
        values = pool_worker.request([str(database), sql, astuple(limits or SqlLimits())], timeout=10)
        return SqlResult(tuple(values[0]), [tuple(row) for row in values[1]], *values[2:])

    return in_worker


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


VALUES = (
    "SELECT NULL, 0, -9223372036854775808, 9223372036854775807, 0.1 + 0.2, 1.0, 5e-324, 9e999, -9e999, "
    "'', 'ق ñ 🙂', x'00ff', '\\'"
)


def test_values_arrive_as_sqlite_has_them(run: Run, database: Path) -> None:
    result = run(database, VALUES)
    assert result.ok
    assert result.error is None
    expected = (None, 0, -(2**63), 2**63 - 1, 0.1 + 0.2, 1.0, 5e-324, float("inf"), -float("inf"), "", "ق ñ 🙂")
    assert result.rows == [(*expected, b"\x00\xff", "\\")]
    assert [type(value) for value in result.rows[0][1:6]] == [int, int, int, float, float]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT name AS n, name FROM pet ORDER BY id DESC", [("Ann", "Ann"), ("Tom", "Tom")]),
        ("  select 1 ;; \n -- done; really\n /* ; */ ;", [(1,)]),
        ("-- ask\n/* for */ VALUES (1), (2)", [(1,), (2,)]),
        (";SELECT ';' || '--' || \"/*\"", [(";--/*",)]),
        ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3) SELECT sum(x) FROM c", [(6,)]),
        ('SELECT name FROM pet WHERE name = "Tom"', [("Tom",)]),
        ("SELECT key, value FROM json_each('{\"a\": 1}')", [("a", 1)]),
        ("SELECT name FROM pragma_table_info('pet') WHERE pk = 1", [("id",)]),
        ("SELECT count(*) FROM sqlite_master", [(1,)]),
        (
            "SELECT printf('%.2f|%s|%05d', 2.5, NULL, 7), format('%d%%', 3), printf(''), printf(NULL)",
            [("2.50||00007", "3%", None, None)],
        ),
        ("SELECT name FROM pet WHERE 0", []),
    ],
)
def test_reading_works(run: Run, database: Path, text: str, rows: list[Any]) -> None:
    result = run(database, text)
    assert (result.kind, result.rows) == ("ok", rows), result.error
    assert 0 <= result.seconds < 5


def test_columns_are_named_also_where_no_row_comes(run: Run, database: Path) -> None:
    assert run(database, "SELECT id, name AS n FROM pet WHERE 0").columns == ("id", "n")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("SELECT nope FROM pet", "syntax", "no such column: nope"),
        ("SELECT * FROM nope", "syntax", "no such table: nope"),
        ("SELECT FROM", "syntax", "near"),
        ("SELECT nope()", "syntax", "no such function"),
        ("SELECT abs(-9223372036854775808)", "error", "integer overflow"),
        ("SELECT json_extract('{', '$')", "error", "malformed JSON"),
        ("PRAGMA table_info(pet)", "denied", "PRAGMA is not allowed"),
        ("EXPLAIN QUERY PLAN SELECT 1", "denied", "EXPLAIN is not allowed"),
    ],
)
def test_what_does_not_run_says_why(run: Run, database: Path, text: str, kind: str, said: str) -> None:
    result = run(database, text)
    assert result.kind == kind
    assert said in str(result.error)


def test_limits_hold_exactly(run: Run, database: Path) -> None:
    three = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3) SELECT x FROM c"
    assert run(database, three, SqlLimits(rows=3)).ok
    assert run(database, three, SqlLimits(rows=2)).kind == "too_large"
    assert run(database, "SELECT zeroblob(1000)", SqlLimits(value_bytes=1000)).ok
    assert run(database, "SELECT zeroblob(1001)", SqlLimits(value_bytes=1000)).kind == "too_large"
    assert run(database, "SELECT 1" + " " * 92, SqlLimits(statement_bytes=100)).ok
    assert run(database, "SELECT 1" + " " * 93, SqlLimits(statement_bytes=100)).kind == "too_large"
    assert run(database, "SELECT 'é'" + " " * 89, SqlLimits(statement_bytes=100)).ok
    assert run(database, "SELECT 'é'" + " " * 90, SqlLimits(statement_bytes=100)).kind == "too_large"
    assert run(database, "SELECT hex(zeroblob(400)), 1", SqlLimits(result_bytes=1000)).ok
    assert run(database, "SELECT hex(zeroblob(500)), 1", SqlLimits(result_bytes=1000)).kind == "too_large"


def test_text_that_is_not_utf8_is_replaced_and_does_not_raise(run: Run, tmp_path: Path) -> None:
    path = build(
        tmp_path / "x.sqlite", "CREATE TABLE t (a TEXT); INSERT INTO t VALUES (CAST(x'61ff62' AS TEXT)), ('ok');"
    )
    for _ in range(2):
        assert run(path, "SELECT a FROM t").rows == [("a\ufffdb",), ("ok",)]
    assert run(path, "SELECT CAST(x'80' AS TEXT)").rows == [("\ufffd",)]


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "what?.sqlite", "50%23#.sqlite", "müde 猫.sqlite", 'it\'s "x";.sqlite', "-wal"]
)
def test_any_file_name_will_do(run: Run, database: Path, name: str) -> None:
    path = database.with_name(name)
    shutil.copy(database, path)
    assert run(path, "SELECT count(*) FROM pet").rows == [(2,)]


def test_an_empty_file_is_an_empty_database(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    path.touch()
    assert run(path, "SELECT 1").rows == [(1,)]
    assert path.read_bytes() == b""


@pytest.mark.parametrize("what", ["missing", "folder", "pipe", "text", "broken", "nul"])
def test_a_database_that_cannot_be_read_is_nobodys_score(run: Run, database: Path, what: str) -> None:
    path = database.with_name("other")
    if what == "folder":
        path.mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    elif what == "text":
        path.write_text("CREATE TABLE pet (id);" * 100)
    elif what == "broken":
        data = database.read_bytes()
        path.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    elif what == "nul":
        path = database.with_name("a\0b")
    with pytest.raises((SandboxError, WorkerRaised), match="database"):
        run(path, "SELECT * FROM pet")
    assert run(database, "SELECT 1").ok


def test_a_file_that_changes_is_read_anew(run: Run, database: Path) -> None:
    assert run(database, "SELECT count(*) FROM pet").rows == [(2,)]
    build(database, "INSERT INTO pet VALUES (3, 'Kim')")
    assert run(database, "SELECT count(*) FROM pet").rows == [(3,)]
    other = build(database.with_name("other"), "CREATE TABLE pet (id); INSERT INTO pet VALUES (1)")
    os.replace(other, database)
    assert run(database, "SELECT count(*) FROM pet").rows == [(1,)]


def test_what_stands_in_a_log_is_read_and_the_log_left_alone(run: Run, database: Path) -> None:
    writer = sqlite3.connect(database)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO pet VALUES (3, 'Kim')")
    writer.commit()
    before = files(database.parent)
    assert before[database.name + "-wal"]
    assert run(database, "SELECT count(*) FROM pet").rows == [(3,)]
    assert run(database, "DELETE FROM pet").kind == "denied"
    assert files(database.parent) == before
    writer.execute("INSERT INTO pet VALUES (4, 'Lee')")
    writer.commit()
    assert run(database, "SELECT count(*) FROM pet").rows == [(4,)]
    writer.close()
    before = files(database.parent)
    assert before.keys() == {database.name}
    assert run(database, "SELECT count(*) FROM pet").rows == [(4,)]
    assert files(database.parent) == before


def test_a_link_leads_to_the_file_and_its_log(run: Run, database: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.sqlite"
    link.symlink_to(database)
    writer = sqlite3.connect(database)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO pet VALUES (3, 'Kim')")
    writer.commit()
    assert run(link, "SELECT count(*) FROM pet").rows == [(3,)]
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "link.sqlite"]


def test_a_transaction_that_was_cut_off_is_rolled_back_in_the_copy_only(run: Run, database: Path) -> None:
    build(
        database,
        "CREATE TABLE big (x); WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 3000) "
        "INSERT INTO big SELECT hex(zeroblob(200)) FROM c;",
    )
    writer = sqlite3.connect(database, isolation_level=None)
    writer.execute("PRAGMA cache_size = 5")
    writer.execute("BEGIN")
    writer.execute("UPDATE big SET x = 'changed'")
    cut = database.parent.parent / "cut"
    shutil.copytree(database.parent, cut)
    writer.execute("ROLLBACK")
    writer.close()
    path = cut / database.name
    assert (cut / (database.name + "-journal")).stat().st_size
    assert b"changed" in path.read_bytes()
    before = files(cut)
    assert run(path, "SELECT count(*) FROM big WHERE x = 'changed'").rows == [(0,)]
    assert files(cut) == before


def test_a_folder_that_cannot_be_written_is_no_hindrance(run: Run, database: Path) -> None:
    build(database, "PRAGMA journal_mode = WAL")
    database.parent.chmod(0o555)
    try:
        assert run(database, "SELECT count(*) FROM pet").rows == [(2,)]
    finally:
        database.parent.chmod(0o755)


def test_no_copy_is_left_behind(run: Run, database: Path) -> None:
    writer = sqlite3.connect(database)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO pet VALUES (3, 'Kim')")
    writer.commit()
    assert run(database, "SELECT count(*) FROM pet").rows == [(3,)]
    writer.close()
    import tempfile

    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("honewise-sql-")]


def test_virtual_tables_of_a_database_can_be_read(run: Run, tmp_path: Path) -> None:
    path = build(
        tmp_path / "virtual.sqlite",
        "CREATE VIRTUAL TABLE note USING fts5(body); INSERT INTO note VALUES ('a grey cat'), ('a dog');"
        'CREATE VIRTUAL TABLE "odd ""name" USING rtree(id, low, high); INSERT INTO "odd ""name" VALUES (1, 2, 3);',
    )
    assert run(path, "SELECT body FROM note WHERE note MATCH 'cat'").rows == [("a grey cat",)]
    assert run(path, 'SELECT id FROM "odd ""name" WHERE low > 1').rows == [(1,)]
    assert run(path, "INSERT INTO note(note) VALUES ('optimize')").kind == "denied"


def test_functions_hidden_in_a_hostile_schema_do_not_run(run: Run, tmp_path: Path) -> None:
    path = build(
        tmp_path / "v.sqlite", "CREATE VIEW v AS SELECT load_extension('x') AS y; CREATE VIEW w AS SELECT 1 AS y;"
    )
    assert run(path, "SELECT * FROM v").kind == "denied"
    assert run(path, "SELECT * FROM w").rows == [(1,)]


def test_threads_take_turns(database: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        results = list(executor.map(lambda n: run_sql(database, f"SELECT {n}, name FROM pet WHERE id = 1"), range(100)))
    assert [result.rows for result in results] == [[(n, "Tom")] for n in range(100)]


def test_a_fork_has_a_process_of_its_own(database: Path) -> None:
    assert run_sql(database, "SELECT 1").ok
    ours = service._service._worker
    assert ours is not None
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            rows = run_sql(database, "SELECT count(*) FROM pet").rows
            theirs = service._service._worker
            status = 0 if rows == [(2,)] and theirs is not None and theirs.pid != ours.pid else 2
            service.close()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert run_sql(database, "SELECT 2").rows == [(2,)]
    assert service._service._worker is ours


def test_an_interrupt_does_not_mix_up_answers(database: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    assert run_sql(database, "SELECT 1").ok
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run_sql(database, "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert run_sql(database, "SELECT 2").rows == [(2,)]


def test_a_process_killed_while_idle_is_replaced_unnoticed(database: Path) -> None:
    assert run_sql(database, "SELECT 1").ok
    worker = service._service._worker
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    assert run_sql(database, "SELECT 2").rows == [(2,)]


def test_a_process_killed_under_a_statement_is_a_crash_of_the_statement(database: Path) -> None:
    assert run_sql(database, "SELECT 1").ok
    worker = service._service._worker
    assert worker is not None
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c"
        future = executor.submit(run_sql, database, endless)
        while not worker.blamed:
            time.sleep(0.01)
        os.kill(worker.pid, signal.SIGKILL)
        result = future.result()
    assert result.kind == "crashed"
    assert "signal 9" in str(result.error)
    assert run_sql(database, "SELECT 2").rows == [(2,)]


def test_the_process_ends_with_the_program_and_on_request(database: Path) -> None:
    source = dedent(
        """
        import sys
        from honewise.sandbox import run_sql, service, sql
        print(run_sql(sys.argv[1], "SELECT count(*) FROM pet").rows)
        print(service._service._worker.pid)
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", "-c", source, str(database)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    rows, pid = done.stdout.split("\n")[:2]
    assert (rows, done.stderr) == ("[(2,)]", "")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert run_sql(database, "SELECT 1").ok
    worker = service._service._worker
    sql.close()
    sql.close()
    assert worker is not None
    assert not worker.alive
    assert run_sql(database, "SELECT 1").ok


def test_a_reference_is_computed_once_until_its_database_changes(database: Path) -> None:
    first = reference_result(database, "SELECT name FROM pet")
    assert first.rows == [("Tom",), ("Ann",)]
    assert reference_result(str(database), "SELECT name FROM pet") is first
    assert reference_result(database, "SELECT name FROM pet", SqlLimits(seconds=9)) is not first
    build(database, "DELETE FROM pet WHERE id = 1")
    assert reference_result(database, "SELECT name FROM pet").rows == [("Ann",)]


@pytest.mark.parametrize(("text", "said"), [("SELECT nope", "syntax.*no such column"), ("DROP TABLE pet", "denied")])
def test_a_reference_that_fails_is_nobodys_score(database: Path, text: str, said: str) -> None:
    for _ in range(2):
        with pytest.raises(SandboxError, match=f"reference statement failed .{said}"):
            reference_result(database, text)


def test_a_reference_that_hangs_is_not_blamed_on_the_model(database: Path) -> None:
    limits = SqlLimits(seconds=0.2)
    text = "SELECT instr(zeroblob(900000) || x'01', zeroblob(450000) || x'02')"
    started = time.monotonic()
    old, service._OUR_OWN_WORK = service._OUR_OWN_WORK, 0.2
    try:
        with pytest.raises(SandboxError, match="sent nothing"):
            reference_result(database, text, limits)
    finally:
        service._OUR_OWN_WORK = old
    assert time.monotonic() - started < 5
    assert run_sql(database, "SELECT 1").ok


@pytest.fixture
def shared_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "gold"
    folder.mkdir(mode=0o700)
    return folder


def pair(folder: Path) -> list[WorkerProcess]:
    environ = {"HONEWISE_GOLD_CACHE": str(folder)}
    return [WorkerProcess("sandbox_targets:references", environ=environ) for _ in range(2)]


def test_workers_share_reference_results_through_a_private_folder(database: Path, shared_folder: Path) -> None:
    long = (
        "(WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) SELECT count(*) FROM n) > 0"
    )
    request = [str(database), f"SELECT id, name, x'00ff', 1.5, NULL FROM pet WHERE {long}"]
    expected = [[1, "Tom", b"\x00\xff", 1.5, None], [2, "Ann", b"\x00\xff", 1.5, None]]
    one, two = pair(shared_folder)
    with one, two:
        assert one.request(request, timeout=10) == [expected, 1]
        assert one.request(request, timeout=10) == [expected, 0]
        assert two.request(request, timeout=10) == [expected, 0]
        (file,) = shared_folder.iterdir()
        file.write_bytes(file.read_bytes()[:-3])
        two.restart()
        assert two.request(request, timeout=10) == [expected, 1]
        build(database, "DELETE FROM pet WHERE id = 2")
        assert two.request(request, timeout=10) == [expected[:1], 1]
        assert one.request(request, timeout=10) == [expected[:1], 0]
        with pytest.raises(WorkerRaised, match=r"SandboxError.*no such column"):
            one.request([str(database), "SELECT nope"], timeout=10)
        assert len(list(shared_folder.iterdir())) == 2
        assert one.request([str(database), "SELECT 7"], timeout=10) == [[[7]], 1]
        assert two.request([str(database), "SELECT 7"], timeout=10) == [[[7]], 1]
        assert len(list(shared_folder.iterdir())) == 2, "what is quick to run is not worth a file"


def test_a_folder_that_others_can_write_is_not_used(database: Path, shared_folder: Path) -> None:
    shared_folder.chmod(0o777)
    request = [str(database), "SELECT 1"]
    one, two = pair(shared_folder)
    with one, two:
        assert one.request(request, timeout=10) == [[[1]], 1]
        assert two.request(request, timeout=10) == [[[1]], 1]
    assert list(shared_folder.iterdir()) == []
