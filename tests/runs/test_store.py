"""The store: whole steps or none, readable at any moment, and what goes in comes out."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.contracts import Cell, Completion, Piece, Scored, Span, Task
from honewise.errors import RunError
from honewise.runs.rows import RolloutRow, task_hash
from honewise.runs.store import Store

TASK = Task(
    "t/1", {"question": "wie viele?"}, {"answer": 3}, meta={"level": "hard"}, prompt=({"role": "user", "content": "?"},)
)


def scored(text: str = "<a>3</a>", *, task: Task = TASK, total: float | None = 1.5) -> Scored:
    cells = {
        "right": Cell(1.0, 1.0, terminal=0.5, spans=(Span(0, 3, 0.5, "tag"),), correct=True, parts={"near": 0.25}),
        "judge": Cell(None, 0.5, unscored="deadline of 5 s passed"),
        "style": Cell(0.0, 0.5, gated=True, feedback="closed"),
    }
    completion = Completion(text, {"n": [1, 2]}, {"a": Piece(text[3:4], 3)}, 7, True, ((0, 8, "assistant"),))
    return Scored(task, completion, cells, total, True, -0.25)


def test_rollouts_come_back_as_they_were(tmp_path: Path) -> None:
    row = RolloutRow(scored(), "<|user|>?", group=2, sample=1, advantage=0.125, credit=[(0, 3, 0.5), (3, 8, -0.1)])
    with Store(tmp_path / "run.sqlite") as store:
        store.start_stage("rl", "rl", 0)
        store.write_step("rl", 1, {"reward": 0.5, "bad": math.nan}, [row, RolloutRow(scored(total=None))])
        first, second = store.rollouts("rl", 1)
        metrics = store.metrics("rl")
    assert first.scored == row.scored
    assert (first.prompt, first.group, first.sample, first.advantage) == ("<|user|>?", 2, 1, 0.125)
    assert first.credit == ((0, 3, 0.5), (3, 8, -0.1))
    assert second.scored.total is None
    assert metrics[1]["reward"] == 0.5
    assert math.isnan(metrics[1]["bad"])


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), max_size=20))
def test_any_text_can_be_stored(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("store") / "run.sqlite"
    row = RolloutRow(Scored(TASK, Completion(text), {"r": Cell(None, unscored=text, feedback=text)}, None), prompt=text)
    with Store(path) as store:
        store.write_step("rl", 1, {}, [row])
        (found,) = store.rollouts()
    assert found.scored.completion.text == text.encode("utf-8", "backslashreplace").decode()
    assert found.prompt == found.scored.rewards["r"].feedback == found.scored.completion.text


def test_lone_surrogates_are_escaped(tmp_path: Path) -> None:
    task = Task("\ud800", {"q": "\udfff"})
    with Store(tmp_path / "run.sqlite") as store:
        store.write_step("rl", 1, {}, [RolloutRow(Scored(task, Completion("a\ud800b", "\ud800"), {}))])
        (found,) = store.rollouts()
    assert found.scored.completion.text == "a\\ud800b"


def test_a_step_is_stored_once(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.write_step("rl", 1, {"a": 1.0})
        with pytest.raises(RunError, match="step 1 of rl is already stored"):
            store.write_step("rl", 1, {"a": 2.0}, [RolloutRow(scored())])
        assert store.metrics("rl") == {1: {"a": 1.0}}
        assert store.rollouts() == []
        store.write_step("sft", 1, {"a": 3.0})
        store.add_metrics("sft", 1, {"b": 4.0})
        assert store.metrics("sft") == {1: {"a": 3.0, "b": 4.0}}


def test_a_step_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        bad = RolloutRow(scored(), prompt=object())  # type: ignore[arg-type]
        with pytest.raises(AttributeError):
            store.write_step("rl", 1, {"a": 1.0}, [RolloutRow(scored()), bad])
        assert store.steps("rl") == []
        assert store.metrics("rl") == {}
        assert store.rollouts() == []
        store.write_step("rl", 1, {"a": 1.0})


def test_truncate_forgets_steps_with_all_that_hangs_on_them(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Store(path) as store:
        store.start_stage("rl", "rl", 0)
        for step in (1, 2, 3):
            store.write_step("rl", step, {"a": step}, [RolloutRow(scored())])
        store.write_step("other", 3, {"a": 1}, [RolloutRow(scored())])
        assert store.truncate("rl", 1) == 2
        assert store.steps("rl") == [1]
        assert store.metrics("rl") == {1: {"a": 1.0}}
        assert [row.step for row in store.rollouts("rl")] == [1]
        assert len(store.rollouts("other")) == 1
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM scores").fetchone() == (2 * 3,)
        assert db.execute("SELECT count(*) FROM spans").fetchone() == (2,)


def test_the_clock_of_a_stage_goes_on_after_a_resume_and_forgets_lost_steps(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.start_stage("rl", "rl", 0)
        store.set_stage("rl", "running", seconds=100.0)
    with Store(tmp_path / "run.sqlite") as store:
        assert store.start_stage("rl", "rl", 0).seconds == 100.0
        store.write_step("rl", 1, {})
        kept = store.stage("rl")
        time.sleep(0.05)
        store.write_step("rl", 2, {})
        lost = store.stage("rl")
        assert kept is not None
        assert lost is not None
        assert 100.0 <= kept.seconds < lost.seconds - 0.04
        assert lost.steps == 2
        store.truncate("rl", 1)
        assert store.stage("rl") == kept
        assert kept.seconds <= store.seconds("rl") < kept.seconds + 0.04
        store.set_stage("rl", "stopped", reason="too much unscored")
        stopped = store.stage("rl")
    assert stopped is not None
    assert (stopped.state, stopped.reason) == ("stopped", "too much unscored")


def test_evaluations_are_replaced_by_name(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.write_eval(
            "evaluate", "sft greedy", "sft", {"temperature": 0.0}, [RolloutRow(scored())], {"correct": 0.25}
        )
        store.write_eval(
            "evaluate", "sft greedy", "sft", {"temperature": 0.0, "tasks": 2},
            [RolloutRow(scored()), RolloutRow(scored())], {"correct": 0.5, "none": math.nan},
        )  # fmt: skip
        store.write_comparison("evaluate", "rl", "sft", "correct", difference=0.1, low=0.0, high=0.2, tasks=2)
        (found,) = store.evaluations()
        assert (found.name, found.of, found.settings) == ("sft greedy", "sft", {"temperature": 0.0, "tasks": 2})
        assert found.metrics["correct"] == 0.5
        assert math.isnan(found.metrics["none"])
        assert len(store.rollouts(evaluation=found.id)) == len(store.rollouts()) == 2
        (pair,) = store.comparisons("evaluate")
        assert (pair.one, pair.other, pair.difference, pair.low, pair.high) == ("rl", "sft", 0.1, 0.0, 0.2)


def test_a_reader_sees_whole_steps_while_the_writer_is_at_work(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    with Store(path) as writer:
        writer.write_step("rl", 1, {"a": 1}, [RolloutRow(scored())])
        with Store(path, readonly=True) as reader:
            assert reader.steps("rl") == [1]
            with writer._transaction():
                writer._write_metrics("rl", 2, {"a": 2})
                assert reader.metrics("rl") == {1: {"a": 1.0}}
            writer.write_step("rl", 2, {"b": 3})
            assert reader.steps("rl") == [1, 2]
            with pytest.raises(sqlite3.OperationalError):
                reader.write_step("rl", 3, {})


def test_a_store_in_a_folder_without_write_permission_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    with Store(folder / "run.sqlite") as store:
        store.write_step("rl", 1, {"a": 1})
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with Store(folder / "run.sqlite", readonly=True) as store:
            assert store.steps("rl") == [1]
    finally:
        folder.chmod(0o755)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run store there"):
        Store(tmp_path / "none.sqlite", readonly=True)
    (tmp_path / "text.sqlite").write_text("this is not a database, it only looks like a file" * 50)
    with pytest.raises(RunError, match="not a readable run store"):
        Store(tmp_path / "text.sqlite", readonly=True)
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(RunError, match="has not written anything yet"):
        Store(tmp_path / "empty.sqlite", readonly=True)
    with Store(tmp_path / "new.sqlite") as store:
        store.set_fact("format", "99")
    with pytest.raises(RunError, match="store format 99; this version of honewise reads format 1"):
        Store(tmp_path / "new.sqlite")


_WRITER = """
import sys
from honewise.contracts import Cell, Completion, Scored, Span, Task
from honewise.runs.rows import RolloutRow
from honewise.runs.store import Store

store = Store(sys.argv[1])
store.start_stage("rl", "rl", 0)
row = RolloutRow(Scored(Task("t", {}), Completion("x" * 2000), {"r": Cell(1.0, spans=(Span(0, 1, 1.0),))}, 1.0))
step = 0
while True:
    step += 1
    store.write_step("rl", step, {f"m{i}": float(step) for i in range(20)}, [row] * 20)
    print(step, flush=True)
"""


@pytest.mark.parametrize("milliseconds", [0, 3, 7, 20, 45])
def test_killed_at_any_moment_it_holds_whole_steps(tmp_path: Path, milliseconds: int) -> None:
    path = tmp_path / "run.sqlite"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert writer.stdout is not None
    said = int(writer.stdout.readline())
    time.sleep(milliseconds / 1000)
    os.killpg(writer.pid, signal.SIGKILL)
    said = max([said, *(int(line) for line in writer.stdout.read().split() if line)])
    writer.wait()
    with Store(path, readonly=True) as store:
        check_whole(store, said)
    with Store(path) as store:
        check_whole(store, said)
        assert store.start_stage("rl", "rl", 0).state == "running"
        store.truncate("rl", said - 1)
        store.write_step("rl", said, {"again": 1.0})
        assert store.metrics("rl")[said] == {"again": 1.0}


def check_whole(store: Store, said: int) -> None:
    steps = store.steps("rl")
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) in (said, said + 1)
    metrics = store.metrics("rl")
    assert list(metrics) == steps
    assert all(len(numbers) == 20 for numbers in metrics.values())
    last = store.rollouts("rl", steps[-1])
    assert len(last) == 20
    assert all(len(row.scored.rewards["r"].spans) == 1 for row in last)


def test_equal_tasks_have_equal_hashes() -> None:
    assert task_hash(TASK) == task_hash(Task("t/1", {"question": "wie viele?"}, {"answer": 3}, meta={"level": "hard"},
                                             prompt=({"content": "?", "role": "user"},)))  # fmt: skip
    assert task_hash(TASK) != task_hash(Task("t/1", {"question": "wie viele"}, {"answer": 3}))
    long_image = Task("i", {}, images=("data:" + "x" * 10_000,))
    assert task_hash(long_image) != task_hash(Task("i", {}, images=("data:" + "x" * 10_001,)))
