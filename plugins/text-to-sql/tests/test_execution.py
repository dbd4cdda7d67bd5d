"""Running queries: what is the model's fault, what is ours, and that each query runs once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honewise import Score, Task, Unscored, UserError
from honewise_text_to_sql import execution
from honewise_text_to_sql.domain import text_to_sql

Ask = Callable[..., Task]
Judge = Callable[..., Any]

RUNNING = ("execution", "syntax", "cells", "signed_execution", "signed_syntax")


@pytest.mark.parametrize(
    ("gold", "sql", "bag", "in_set"),
    [
        ("SELECT name FROM customer", "SELECT name FROM customer ORDER BY id DESC", True, True),
        ("SELECT name FROM customer", "SELECT DISTINCT name FROM customer", False, True),
        ("SELECT name, id FROM customer", "SELECT id, name FROM customer", True, False),
        ("SELECT name FROM customer ORDER BY id", "SELECT name FROM customer ORDER BY id DESC", False, True),
        ("SELECT id FROM customer ORDER BY id", "SELECT id FROM customer", True, True),
        ("SELECT id FROM customer WHERE id > 9", "SELECT name FROM customer WHERE 0", True, True),
        ("SELECT count(*) FROM customer", "SELECT 4.0", True, True),
        ("SELECT count(*) FROM customer", "SELECT '4'", False, False),
        ("SELECT city FROM customer WHERE id = 3", "SELECT NULL", True, True),
        ("SELECT name FROM customer", "SELECT name, id FROM customer", False, False),
        ("SELECT name FROM customer", "WITH a AS (SELECT * FROM customer) SELECT name FROM a;", True, True),
    ],
)
def test_execution_by_hand(ask: Ask, judge_text: Judge, gold: str, sql: str, bag: bool, in_set: bool) -> None:
    task = ask(gold)
    for match, right in (("bag", bag), ("set", in_set), ("auto", bag)):
        score = judge_text("execution", task, f"<answer>{sql}</answer>", match=match)
        assert score.value == float(right)
        assert score.correct is right
        assert score.parts["bag"] == bag
        assert score.parts["set"] == in_set
    bird = ask(gold, match="set")
    assert judge_text("execution", bird, f"<answer>{sql}</answer>").correct is in_set


def test_any_accepted_query_will_do(ask: Ask, judge_text: Judge) -> None:
    task = ask("SELECT name FROM customer", "SELECT id FROM customer", "SELECT absent FROM nowhere")
    for sql in ("SELECT id FROM customer", "SELECT name FROM customer"):
        score = judge_text("execution", task, f"<answer>{sql}</answer>")
        assert score.correct is True
        assert score.parts["soft_f1"] == 1
    assert judge_text("execution", task, "<answer>SELECT city FROM customer</answer>").correct is False


def test_the_task_may_say_whether_order_counts(ask: Ask, judge_text: Judge) -> None:
    text = "<answer>SELECT id FROM customer ORDER BY id DESC</answer>"
    assert judge_text("execution", ask("SELECT id FROM customer ORDER BY id", ordered=False), text).correct is True
    assert judge_text("execution", ask("SELECT id FROM customer", ordered=True), text).correct is False


def test_cells_by_hand(ask: Ask, judge_text: Judge) -> None:
    # gold: 4 rows x 2 cells; prediction: 2 rows x 1 cell, both there: precision 1, recall 2/8, rows 2/4
    score = judge_text(
        "cells", ask("SELECT id, name FROM customer"), "<answer>SELECT id FROM customer LIMIT 2</answer>"
    )
    assert score.value == pytest.approx((1 + 2 / 8 + 2 / 4) / 3)
    empty = ask("SELECT id FROM customer WHERE 0")
    assert judge_text("cells", empty, "<answer>SELECT name FROM customer WHERE 0</answer>").value == 1
    assert judge_text("cells", empty, "<answer>SELECT 1</answer>").value == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no query"),
        ("I do not know", "no query"),
        ("<answer>SELEC 1</answer>", "syntax"),
        ("<answer>SELECT absent FROM customer</answer>", "no such column"),
        ("<answer>DROP TABLE customer</answer>", ""),
        ("<answer>SELECT 1; SELECT 2</answer>", ""),
        ("<answer>SELECT abs(-9223372036854775808)</answer>", "overflow"),
    ],
)
def test_what_the_model_wrote_wrong_is_scored_at_the_minimum(ask: Ask, judge_text: Judge, text: str, why: str) -> None:
    task = ask("SELECT name FROM customer")
    for name in RUNNING:
        score = judge_text(name, task, text)
        assert isinstance(score, Score)
        assert score.value == (-1.0 if name.startswith("signed") else 0.0)
        assert why in score.feedback or name == "cells"
    assert judge_text("execution", task, text).correct is False


@pytest.mark.parametrize("text", ["<answer>SELECT name FROM customer</answer>", "<answer>SELEC</answer>", ""])
def test_what_is_our_fault_is_unscored_whatever_was_written(ask: Ask, judge_text: Judge, text: str, shop: Path) -> None:
    comparing = ("execution", "cells", "signed_execution")
    for task, reason, names in (
        (ask("SELECT 1", database=None, db_id="bank"), "'bank' is not there", RUNNING),
        (ask("SELECT 1", database=shop.parent / "gone.sqlite"), "gone", RUNNING),
        (ask(), "no gold query", comparing),
        (ask("SELECT alter FROM customer"), "no gold query runs", comparing),
        (ask("SELECT absent FROM customer"), "no such column", comparing),
    ):
        for name in names:
            score = judge_text(name, task, text)
            assert isinstance(score, Unscored), (name, task.reference)
            assert reason in score.reason


def test_without_gold_syntax_is_scored(ask: Ask, judge_text: Judge) -> None:
    assert judge_text("syntax", ask(), "<answer>SELECT 1</answer>").value == 1
    assert judge_text("syntax", ask("SELECT alter FROM customer"), "<answer>SELECT 1</answer>").value == 1


def test_a_file_that_is_no_database_is_our_fault(ask: Ask, judge_text: Judge, tmp_path: Path) -> None:
    fake = tmp_path / "fake.sqlite"
    fake.write_text("version https://git-lfs.github.com/spec/v1\n" * 100)
    for name in RUNNING:
        assert isinstance(judge_text(name, ask("SELECT 1", database=fake), "<answer>SELECT 1</answer>"), Unscored)


def test_each_query_runs_once_for_all_rewards(
    ask: Ask, judge_text: Judge, monkeypatch: pytest.MonkeyPatch, shop: Path
) -> None:
    runs: list[str] = []
    real = execution.run_sql

    def counting(database: Any, sql: str, *rest: Any) -> Any:
        runs.append(sql)
        return real(database, sql, *rest)

    monkeypatch.setattr(execution, "run_sql", counting)
    task = ask("SELECT name FROM customer")
    for _ in range(2):
        for name in RUNNING:
            judge_text(name, task, "<answer>SELECT name, 'once' FROM customer</answer>")
    assert runs == ["SELECT name, 'once' FROM customer"]
    judge_text("execution", ask("SELECT id FROM customer"), "<answer>SELECT name, 'once' FROM customer</answer>")
    assert len(runs) == 2  # another question: compared anew


def test_what_is_remembered_is_of_the_file_as_it_is(ask: Ask, judge_text: Judge, tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    values = []
    for at, content in enumerate(("one", "two")):
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(f"DROP TABLE IF EXISTS t; CREATE TABLE t (x); INSERT INTO t VALUES ('{content}')")
        os.utime(path, ns=(at, at))
        values.append(
            judge_text("execution", ask("SELECT 'one'", database=path), "<answer>SELECT x FROM t</answer>").value
        )
    assert values == [1, 0]


def test_an_unknown_way_to_match_is_said(ask: Ask, judge_text: Judge) -> None:
    with pytest.raises(UserError, match="auto, bag, set"):
        judge_text("execution", ask("SELECT 1"), "<answer>SELECT 1</answer>", match="exact")


@pytest.mark.parametrize(
    "options",
    [{"style": "short"}, {"schema_tokens": 0}, {"seconds": 0}, {"databases": "/no/such/folder"}, {"world": "moon"}],
)
def test_bad_options_are_said(options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        list(text_to_sql(**options).samples("train"))


def test_deadlines_leave_room_for_the_query_and_the_gold() -> None:
    by_name = {reward.name: reward for reward in text_to_sql(seconds=7.0).rewards}
    for name in RUNNING:
        assert by_name[name].deadline > 2 * 7.0
        assert by_name[name].cost == "process"
