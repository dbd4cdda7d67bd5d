"""What the SQL sandbox costs per statement, beside plain ``sqlite3`` without protection; printed, never asserted."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from honewise.sandbox import SqlLimits, run_sql
from honewise.sandbox.guard import run
from honewise.sandbox.process import WorkerProcess

pytestmark = pytest.mark.bench


def micros(call: Callable[[], object], times: int) -> float:
    call()
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(times):
            call()
        best = min(best, (time.perf_counter() - started) / times)
    return best * 1e6


def start() -> None:
    with WorkerProcess("honewise.sandbox.worker:echo") as worker:
        worker.wait_ready()


def test_overhead_per_statement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pets.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE pet (id, name); INSERT INTO pet VALUES (1, 'Tom'), (2, 'Ann')")
    sql, limits = "SELECT name FROM pet WHERE id = 1", SqlLimits()

    def naive() -> None:
        fresh = sqlite3.connect(path)
        fresh.execute(sql).fetchall()
        fresh.close()

    numbers = {
        "open, run, close (no protection)": micros(naive, 500),
        "guarded, in a worker": micros(lambda: run(str(path), sql, limits, model_text=True), 3000),
        "run_sql, through its own process": micros(lambda: run_sql(path, sql, limits), 500),
        "start of a worker": micros(start, 3),
    }
    connection.close()
    with capsys.disabled():
        print()
        for what, value in numbers.items():
            print(f"{what:>36}: {value:10.1f} us")
