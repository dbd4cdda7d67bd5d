"""The sample databases and the questions over them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

import honewise_text_to_sql
from honewise import Task
from honewise.errors import UnknownName, UserError
from honewise_text_to_sql import samples
from honewise_text_to_sql.samples import cache_folder, database, demonstrations, tasks
from honewise_text_to_sql.samples.fields import FIELDS
from honewise_text_to_sql.samples.tables import script

WORLDS = tuple(samples.WORLDS)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONEWISE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def connections(cache: Path) -> Iterator[dict[str, sqlite3.Connection]]:
    opened = {name: sqlite3.connect(database(name)) for name in samples.DATABASES}
    yield opened
    for connection in opened.values():
        connection.close()


def _splits(world: str, seed: int = 0) -> dict[str, list[Task]]:
    train = tasks("train", world=world, seed=seed)
    return {
        "demonstrations": [task for task in train if task.meta.get("demonstration")],
        "train": [task for task in train if not task.meta.get("demonstration")],
        "held-out": tasks("held-out", world=world, seed=seed),
    }


def _question(task: Task) -> tuple[str, str]:
    words = "".join(letter if letter.isalnum() else " " for letter in task.inputs["question"].lower())
    return task.meta["db_id"], " ".join(words.split())


def _query(task: Task) -> tuple[str, str]:
    """Without case, spacing, and the order of conditions."""
    tree = sqlglot.parse_one(_sql(task), read="sqlite")
    where = tree.args.get("where")
    conditions = ""
    if where is not None:
        both = where.this
        parts = [both.left, both.right] if isinstance(both, exp.And | exp.Or) else [both]
        conditions = f" {type(both).__name__} ".join(sorted(part.sql("sqlite") for part in parts))
        tree.set("where", None)
    return task.meta["db_id"], f"{tree.sql('sqlite')} {conditions}".lower()


def _sql(task: Task) -> str:
    [sql] = task.reference["sql"]
    return str(sql)


def _run(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    return connection.execute(sql).fetchall()


def _python(code: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


# --- databases


@pytest.mark.parametrize("name", samples.DATABASES)
def test_each_database_is_sound_and_large_enough(name: str, connections: dict[str, sqlite3.Connection]) -> None:
    connection = connections[name]
    tables = [row[0] for row in _run(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert 3 <= len(tables) <= 5
    assert all(30 <= _run(connection, f"SELECT COUNT(*) FROM {table}")[0][0] <= 200 for table in tables)
    assert sum(len(_run(connection, f"PRAGMA foreign_key_list({table})")) for table in tables) >= 2
    assert _run(connection, "PRAGMA foreign_key_check") == []
    assert _run(connection, "PRAGMA integrity_check") == [("ok",)]


def test_databases_hold_what_makes_queries_hard(connections: dict[str, sqlite3.Connection]) -> None:
    for name, connection in connections.items():
        values: Counter[Any] = Counter()
        repeated = False
        for (table,) in _run(connection, "SELECT name FROM sqlite_master WHERE type = 'table'"):
            rows = _run(connection, f"SELECT * FROM {table}")
            values.update(value for row in rows for value in row)
            repeated |= any(len(set(column)) < len(column) for column in list(zip(*rows, strict=True))[1:])
        texts = [value for value in values if isinstance(value, str)]
        assert repeated, name
        assert values[None] > 0, name
        assert {int, float} <= {type(value) for value in values}, name
        assert any("'" in text for text in texts), name
        assert any(not text.isascii() for text in texts), name
        assert any(len(text) == 10 and text[4] == text[7] == "-" for text in texts), name
    library = connections["library"]
    assert _run(library, "SELECT COUNT(*) FROM book WHERE title LIKE '%\"%'") == [(1,)]
    assert ("ليلى حداد",) in _run(library, "SELECT name FROM author WHERE name = 'ليلى حداد'")
    assert _run(connections["clinic"], "SELECT COUNT(*) FROM patient WHERE name = 'נועה כהן'")[0][0] >= 1


def test_dates_that_follow_others_are_later(connections: dict[str, sqlite3.Connection]) -> None:
    rows = _run(connections["library"], "SELECT taken, returned FROM loan WHERE returned IS NOT NULL")
    assert len(rows) > 100
    assert all(taken < returned for taken, returned in rows)


def test_the_content_of_the_databases_is_fixed() -> None:
    """A change here changes what every published number was measured on."""
    names = sorted(path.relative_to(cache_folder()).as_posix() for path in map(database, samples.DATABASES))
    digests = {name: hashlib.sha256(script(FIELDS[name]).encode()).hexdigest()[:12] for name in FIELDS}
    assert names == sorted(f"{digest}/{name}.sqlite" for name, digest in digests.items())
    assert digests == PINNED


PINNED = {
    "library": "180943f547a2",
    "clinic": "ea768c79a0d1",
    "harbour": "59f7f877fe4a",
    "observatory": "c376d3da51d7",
    "bakery": "87b264647a33",
}


# --- the cache


def test_many_processes_may_build_at_once(tmp_path: Path) -> None:
    code = (
        "from honewise_text_to_sql.samples import *\n"
        "for n in DATABASES: print(database(n), len(database(n).read_bytes()))"
    )
    processes = [_python(code, HONEWISE_CACHE=str(tmp_path)) for _ in range(6)]
    outputs = {_output(process) for process in processes}
    assert len(outputs) == 1
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(path.name for path in files) == sorted(f"{name}.sqlite" for name in samples.DATABASES)
    for path in files:
        with closing(sqlite3.connect(path)) as connection:
            assert _run(connection, "PRAGMA integrity_check") == [("ok",)]


def test_a_build_that_died_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEWISE_CACHE", str(tmp_path))
    path = database("bakery")
    path.unlink()
    (path.parent / ".bakery-dead.part").write_bytes(b"half")
    with closing(sqlite3.connect(database("bakery"))) as connection:
        assert _run(connection, "SELECT COUNT(*) FROM product") == [(60,)]


def test_files_are_read_only_and_built_once(cache: Path) -> None:
    path = database("harbour")
    before = path.stat()
    assert not before.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    assert database("harbour").stat().st_mtime_ns == before.st_mtime_ns


def test_nothing_is_written_into_the_package(tmp_path: Path) -> None:
    """The package, copied to a folder without write permission, serves from the cache alone."""
    package = tmp_path / "site" / "honewise_text_to_sql"
    shutil.copytree(Path(honewise_text_to_sql.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    before = sorted(package.rglob("*"))
    for path in [package, *before]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import honewise_text_to_sql as p, honewise_text_to_sql.samples as s\n"
        "print(p.__file__); print(len(s.tasks('held-out')))"
    )
    try:
        shown = _output(
            _python(
                code,
                PYTHONPATH=str(package.parent),
                PYTHONDONTWRITEBYTECODE="1",
                HONEWISE_CACHE=str(tmp_path / "cache"),
            )
        ).split()
        assert shown == [str(package / "__init__.py"), str(samples.HELD_OUT)]
        assert sorted(package.rglob("*")) == before
    finally:
        for path in [package, *before]:
            if path.is_dir():
                path.chmod(0o755)


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEWISE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "text-to-sql"
    monkeypatch.delenv("HONEWISE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "honewise" / "text-to-sql"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "honewise" / "text-to-sql"


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HONEWISE_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="set HONEWISE_CACHE to a writable folder"):
        database("library")


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownName, match="did you mean 'library'"):
        database("libary")
    with pytest.raises(UnknownName, match="did you mean 'joins'"):
        tasks("train", world="join")
    with pytest.raises(UnknownName, match="did you mean 'held-out'"):
        tasks("held_out")
    with pytest.raises(UserError, match="0 to 400"):
        demonstrations(count=401)


# --- the questions


def test_the_same_in_every_process_and_under_every_hash_seed(tmp_path: Path) -> None:
    code = (
        "import hashlib, json, dataclasses\nfrom honewise_text_to_sql.samples import *\n"
        "rows = [dataclasses.asdict(t) for w in WORLDS for t in tasks('held-out', world=w)]\n"
        "rows += [dataclasses.asdict(t) for t, _ in demonstrations()]\n"
        "[r['reference'].pop('database') for r in rows]\n"
        "print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())"
    )
    processes = [_python(code, PYTHONHASHSEED=seed, HONEWISE_CACHE=str(tmp_path)) for seed in ("0", "4711")]
    first, second = map(_output, processes)
    assert first == second


@pytest.mark.parametrize("world", WORLDS)
def test_splits_have_the_sizes_that_are_documented(world: str) -> None:
    splits = _splits(world)
    sizes = {name: len(found) for name, found in splits.items()}
    assert sizes == {"demonstrations": samples.DEMONSTRATIONS, "train": samples.TRAIN, "held-out": samples.HELD_OUT}
    assert tasks("train", world=world)[: samples.DEMONSTRATIONS] == splits["demonstrations"]
    everything = [task for found in splits.values() for task in found]
    assert len({task.id for task in everything}) == len(everything)
    assert len({_query(task) for task in splits["demonstrations"][:120]}) >= 95


@pytest.mark.parametrize(("world", "seed"), [("simple", 0), ("joins", 0), ("all", 0), ("all", 7)])
def test_splits_share_no_question_no_query_and_no_held_out_phrasing(world: str, seed: int) -> None:
    splits = _splits(world, seed)
    for key in (_question, _query):
        seen = {name: {key(task) for task in found} for name, found in splits.items()}
        assert not seen["demonstrations"] & seen["train"]
        assert not seen["held-out"] & (seen["demonstrations"] | seen["train"])
    phrasings = {name: {task.meta["phrasing"] for task in found} for name, found in splits.items()}
    assert not phrasings["held-out"] & (phrasings["demonstrations"] | phrasings["train"])


@pytest.mark.parametrize("world", WORLDS)
def test_demonstrations_are_worded_in_one_manner_and_training_in_all(world: str) -> None:
    def used(split: str) -> dict[str, set[int]]:
        found: dict[str, set[int]] = defaultdict(set)
        for task in _splits(world)[split]:
            for slot in task.meta["phrasing"].partition(":")[2].split("+"):
                name = slot.rstrip("0123456789")
                found[name].add(int(slot.removeprefix(name)))
        return found

    assert max(max(places) for places in used("demonstrations").values()) == 1
    for split in ("train", "held-out"):
        assert max(map(len, used(split).values())) >= 4


def test_no_seed_moves_a_query_to_another_split() -> None:
    first, second = tasks("held-out", seed=0), tasks("held-out", seed=1)
    assert [task.inputs for task in first] != [task.inputs for task in second]
    for key in (_question, _query):
        assert not {key(task) for task in second} & {key(task) for task in tasks("train", seed=0)}


@pytest.mark.parametrize("world", WORLDS)
def test_every_gold_runs_and_none_is_empty(world: str, connections: dict[str, sqlite3.Connection]) -> None:
    for found in _splits(world).values():
        for task in found:
            rows = _run(connections[task.meta["db_id"]], _sql(task))
            assert rows, _sql(task)
            assert any(value not in (None, 0) for row in rows for value in row), _sql(task)


def _mutations(sql: str, connection: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """Trivially wrong queries, made from the text alone."""
    tree = sqlglot.parse_one(sql, read="sqlite")
    if tree.args.get("where") is not None:
        bare = tree.copy()
        bare.set("where", None)
        yield "no WHERE", bare.sql("sqlite")
    shown = tree.expressions[-1]
    if isinstance(shown, exp.Avg | exp.Max | exp.Min | exp.Sum):
        wrong = exp.Avg if isinstance(shown, exp.Max) else exp.Max
        changed = tree.copy()
        changed.expressions[-1].replace(wrong(this=shown.this.copy()))
        yield "another aggregate", changed.sql("sqlite")
    if isinstance(tree.expressions[0], exp.Column):
        column = tree.expressions[0]
        table = column.table or next(tree.find_all(exp.Table)).name
        for (name,) in _run(connection, f"SELECT name FROM pragma_table_info('{table}')"):
            if name != column.name:
                changed = tree.copy()
                changed.expressions[0].replace(exp.column(name, table=column.table or None))
                yield "another column", changed.sql("sqlite")


@pytest.mark.parametrize("world", WORLDS)
def test_trivially_wrong_queries_have_other_answers(world: str, connections: dict[str, sqlite3.Connection]) -> None:
    count: Counter[str] = Counter()
    same: Counter[str] = Counter()
    for task in [task for found in _splits(world).values() for task in found[:500]]:
        connection = connections[task.meta["db_id"]]
        right = set(_run(connection, _sql(task)))
        for kind, wrong in _mutations(_sql(task), connection):
            count[kind] += 1
            same[kind] += right == set(_run(connection, wrong))
    assert set(count) == {"no WHERE", "another aggregate", "another column"}
    assert {kind: same[kind] / count[kind] for kind in count if same[kind] > 0.03 * count[kind]} == {}


def test_limits_do_not_hang_on_ties(connections: dict[str, sqlite3.Connection]) -> None:
    found = [task for task in tasks("train", world="all") if " LIMIT " in _sql(task)]
    assert len(found) >= 20
    for task in found:
        connection = connections[task.meta["db_id"]]
        ordered, limit = _sql(task).split(" LIMIT ")
        table = re.search(r" FROM (\w+)", ordered)
        group = re.search(r" GROUP BY (\S+)", ordered)
        assert table is not None
        key = group[1] if group else f"{table[1]}.id"
        ways = [_run(connection, f"{ordered}, {key} {way} LIMIT {limit}") for way in ("ASC", "DESC")]
        assert ways[0] == ways[1] == _run(connection, _sql(task))


def test_the_whole_world_asks_for_everything() -> None:
    found = tasks("train", world="all")
    queries = " ".join(_sql(task) for task in found)
    for words in ("IS NULL", "IS NOT NULL", "LIKE", "BETWEEN '20", "> '20", "NOT IN", "EXISTS", "HAVING", "DISTINCT",
                  "GROUP BY", " OR ", " AND ", "COUNT(*) DESC LIMIT 1", "> (SELECT AVG", "''", " != "):  # fmt: skip
        assert words in queries, words
    assert any(_sql(task).count(" JOIN ") == 2 for task in found)
    assert any("O'" in task.inputs["question"] for task in found)
    assert any(not task.inputs["question"].isascii() for task in found)
    assert {task.meta["db_id"] for task in found} == set(samples.DATABASES)
    assert {task.meta["difficulty"] for task in found} == {"easy", "medium", "hard"}


def test_difficulty_is_what_the_documentation_says() -> None:
    for task in tasks("held-out", world="all"):
        sql, level = _sql(task), task.meta["difficulty"]
        if (
            "JOIN" not in sql
            and "GROUP" not in sql
            and " AND " not in sql.replace("' AND '", "")
            and "(SELECT" not in sql
        ):
            assert level in ("easy", "medium")
        if sql.count(" JOIN ") == 2 or "HAVING" in sql or "(SELECT" in sql:
            assert level == "hard"
        if level == "easy":
            assert not {"JOIN", "GROUP", "LIMIT", "DISTINCT"} & set(sql.split())


def test_the_simple_world_is_short() -> None:
    found = tasks("train")
    assert all("JOIN" not in _sql(task) for task in found)
    words = {word for task in found for word in re.findall(r"[^\W\d]+", f"{task.inputs['question']} {_sql(task)}")}
    assert len(words) < 110
    assert max(len(_sql(task).split()) for task in found) <= 14


def test_demonstrations_are_the_marked_tasks_with_their_gold() -> None:
    pairs = demonstrations(world="joins", count=30)
    assert [task for task, _ in pairs] == tasks("train", world="joins")[:30]
    assert all(task.meta["demonstration"] is True and sql == _sql(task) for task, sql in pairs)
    assert demonstrations(count=0) == []
    assert len(demonstrations()) == 120


def test_tasks_are_json() -> None:
    for task in tasks("held-out", world="all")[:50]:
        assert json.loads(json.dumps([dict(task.inputs), dict(task.reference), dict(task.meta)]))
        assert {"db_id", "difficulty", "template", "phrasing"} <= set(task.meta)
        assert "{" not in task.inputs["question"]
