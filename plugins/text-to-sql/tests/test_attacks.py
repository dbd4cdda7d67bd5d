"""Hostile queries through the whole scoring path: each scored at the minimum in time, nothing changed, nothing left."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise import Score, Task
from honewise.scoring import Row, Scorer

SECONDS = 1.0
LATE = 0.5
RESTART = 5.0

ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT"

ATTACKS = {
    "delete": "DELETE FROM customer",
    "drop": "DROP TABLE customer",
    "update returning": "UPDATE customer SET name = 'x' RETURNING name",
    "insert": "INSERT INTO customer VALUES (9, 'x', 'y')",
    "insert or replace": "REPLACE INTO customer VALUES (1, 'x', 'y')",
    "delete behind a cte": "WITH a AS (SELECT 1) DELETE FROM customer",
    "create": "CREATE TABLE t AS SELECT * FROM customer",
    "create temporary": "CREATE TEMP TABLE t AS SELECT * FROM customer",
    "trigger": "CREATE TRIGGER t AFTER INSERT ON customer BEGIN DELETE FROM customer; END",
    "alter": "ALTER TABLE customer RENAME TO gone",
    "vacuum": "VACUUM",
    "vacuum into": "VACUUM INTO '{folder}/copy.sqlite'",
    "attach": "ATTACH DATABASE '{folder}/new.sqlite' AS new",
    "attach behind a select": "SELECT name FROM customer; ATTACH '{folder}/new.sqlite' AS new",
    "detach": "DETACH DATABASE main",
    "pragma": "PRAGMA writable_schema = ON",
    "pragma journal": "PRAGMA journal_mode = WAL",
    "pragma that reads": "PRAGMA database_list",
    "reindex": "REINDEX",
    "analyze": "ANALYZE",
    "begin": "BEGIN EXCLUSIVE",
    "commit": "COMMIT",
    "savepoint": "SAVEPOINT a",
    "load extension": "SELECT load_extension('libc.so.6')",
    "readfile": "SELECT readfile('/etc/passwd')",
    "writefile": "SELECT writefile('{folder}/x', 'y')",
    "edit": "SELECT edit('x', 'touch {folder}/y')",
    "fts tokenizer": "SELECT fts3_tokenizer('simple', x'4141414141414141')",
    "zeroblob": "SELECT zeroblob(2000000000)",
    "hex of a zeroblob": "SELECT hex(zeroblob(400000000))",
    "randomblob": "SELECT length(hex(randomblob(900000000)))",
    "printf width": "SELECT length(printf('%.1000000000c', 'x'))",
    "replace bomb": "SELECT length(replace(hex(zeroblob(499999)), '0', hex(zeroblob(499999))))",
    "group_concat bomb": f"{ENDLESS} length(group_concat(hex(zeroblob(100000)))) FROM c",
    "endless": f"{ENDLESS} count(*) FROM c",
    "endless rows": f"{ENDLESS} x FROM c",
    "endless wide rows": f"{ENDLESS} x, hex(zeroblob(100000)) FROM c",
    "cross join": "SELECT count(*) FROM " + ", ".join(f"customer c{i}" for i in range(30)),
    "sort of a cross join": "SELECT * FROM " + ", ".join(f"customer c{i}" for i in range(12)) + " ORDER BY random()",
    "like backtracking": f"SELECT '{'a' * 5000}' LIKE '{'%a' * 2000}b'",
    "glob backtracking": "SELECT hex(zeroblob(200000)) GLOB '" + "*0" * 3000 + "1'",
    "comment and second statement": "SELECT name FROM customer --\n; DROP TABLE customer",
    "two selects": "SELECT name FROM customer; SELECT name FROM customer",
    "NUL byte": "SELECT name FROM customer\x00; DROP TABLE customer",
    "a megabyte": "SELECT '" + "x" * 1_000_000 + "'",
    "a megabyte of parentheses": "SELECT " + "(" * 1_000_000,
    "deep nesting": "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "deep selects": "SELECT * FROM " + "(SELECT * FROM " * 400 + "customer" + ")" * 400,
    "many terms": " UNION ALL ".join(["SELECT 1"] * 5_000),
    "wide expression": "SELECT " + "||".join(["'x'"] * 20_000),
    "explain": "EXPLAIN SELECT name FROM customer",
    "explain query plan": "EXPLAIN QUERY PLAN SELECT name FROM customer",
    "empty": ";",
    "comment only": "-- nothing",
    "lone surrogate": "SELECT '\ud800'",
    "bare values": "VALUES (1)",
}


def _state(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def scorer() -> Any:
    with Scorer("text-to-sql", {"seconds": SECONDS}, rubric="execution-only", workers=1) as made:
        yield made


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_scores_the_minimum_in_time_and_changes_nothing(
    scorer: Scorer, ask: Callable[..., Task], shop: Path, attack: str
) -> None:
    task = ask("SELECT name FROM customer")
    sql = ATTACKS[attack].replace("{folder}", str(shop.parent))
    before = _state(shop.parent)
    began = time.monotonic()
    (hit,) = scorer.score([Row(task, f"<answer>{sql}</answer>")])
    seconds = time.monotonic() - began
    (after,) = scorer.score([Row(task, f"<answer>SELECT name FROM customer -- {len(sql)}</answer>")])
    assert _state(shop.parent) == before
    execution = hit.rewards["execution"]
    assert execution.unscored is None
    assert execution.value == 0
    assert hit.correct is False
    assert hit.total == 0
    assert execution.seconds <= SECONDS + LATE
    # The call as a whole is in time too; only where the worker had to be killed does it also wait for the next one.
    killed = "ran for more than" in execution.feedback or "ended the process" in execution.feedback
    assert seconds <= SECONDS + LATE + (RESTART if killed else 0)
    assert after.correct is True


@pytest.mark.parametrize("attack", [name for name in ATTACKS if name != "bare values"])
def test_an_attack_does_not_count_as_valid_sql(
    judge_text: Callable[..., Any], ask: Callable[..., Task], shop: Path, attack: str
) -> None:
    before = _state(shop.parent)
    sql = ATTACKS[attack].replace("{folder}", str(shop.parent))
    score = judge_text("syntax", ask("SELECT name FROM customer"), f"<answer>{sql}</answer>")
    assert isinstance(score, Score)
    assert score.value == 0
    assert score.feedback
    assert _state(shop.parent) == before


def test_the_list_is_long_enough() -> None:
    assert len(ATTACKS) >= 25
