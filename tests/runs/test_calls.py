"""Judge calls in the store: with their step, kept when a step is forgotten, and what they add up to."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from honewise.clients import CallRecord, Spent
from honewise.runs.store import Store

CALL = CallRecord(
    "judges/a.md", "hash", "model", "key", "endpoint", "", 2, 100, 10, 0.25, 1.5, 0.5, "Score: 7", 0.7, 9.0
)
FAILED = replace(CALL, source="failed", reason="HTTP 500 \ud800", cost=0.0, tokens=0, prompt_tokens=0, verdict=None)


def test_calls_come_back_as_they_were(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.start_stage("rl", "rl", 0)
        store.write_step("rl", 1, {"reward": 0.5}, (), [CALL, FAILED])
        store.write_calls("evaluate", None, [replace(CALL, source="cache", cost=0.0)])
        first, second, third = store.calls()
        assert (first.stage, first.step, first.call) == ("rl", 1, CALL)
        assert second.call.reason == "HTTP 500 \\ud800"
        assert second.call.verdict is None
        assert (third.stage, third.step) == ("evaluate", None)
        assert [each.call for each in store.calls("rl", 1)] == [first.call, second.call]
        assert store.judge_spent() == Spent(1, 110, 0.25)
    with Store(tmp_path / "run.sqlite", readonly=True) as reader:
        assert len(reader.calls("rl")) == 2


def test_what_was_paid_is_not_forgotten(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.start_stage("rl", "rl", 0)
        store.write_step("rl", 1, {}, (), [CALL])
        store.write_step("rl", 2, {}, (), [CALL])
        store.truncate("rl", 1)
        store.write_step("rl", 2, {}, (), [replace(CALL, source="cache", cost=0.0)])
        assert store.judge_spent() == Spent(2, 220, 0.5)
        assert [each.call.source for each in store.calls("rl", 2)] == ["endpoint", "cache"]


def test_a_step_that_fails_takes_its_calls_along(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.start_stage("rl", "rl", 0)
        with pytest.raises(sqlite3.Error):
            store.write_step("rl", 1, {}, (), [replace(CALL, key=None)])  # type: ignore[arg-type]
        assert store.steps("rl") == []
        assert store.calls() == []


def test_a_store_of_before_knows_no_question(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Store(path) as store:
        store.write_calls("rl", None, [CALL])
    with sqlite3.connect(path) as db:
        db.execute("ALTER TABLE judge_calls DROP COLUMN question")
    with Store(path, readonly=True) as reader:
        assert [each.call for each in reader.calls()] == [CALL]
    with Store(path) as store:
        store.write_calls("rl", None, [replace(CALL, question="q")])
        assert [each.call.question for each in store.calls()] == ["", "q"]


def test_a_store_of_before_has_no_calls(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE judge_calls")
    with Store(path, readonly=True) as reader:
        assert reader.calls() == []
        assert reader.judge_spent() == Spent()
    with Store(path) as store:
        store.write_calls("rl", 1, [CALL])
        assert len(store.calls()) == 1
