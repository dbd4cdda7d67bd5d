"""Whatever a reward, a parser or a model's text does: one cell is lost at most, and the right side is blamed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from honewise import Cell, Scored, Task
from honewise.scoring import Row, Scorer

Make = Callable[..., Scorer]


def values(scored: list[Scored], name: str) -> list[float | None]:
    return [row.rewards[name].value for row in scored]


def only(scorer: Scorer, task: Task, text: str) -> Cell:
    (row,) = scorer.score([Row(task, text)])
    (cell,) = row.rewards.values()
    return cell


@pytest.mark.parametrize("fate", ["hang", "busy"])
def test_a_hang_of_ours_is_unscored_and_costs_nobody_else(scorer: Make, task: Task, fate: str) -> None:
    texts = ["a", "b", fate, "c", "d"]
    began = time.monotonic()
    scored = scorer({"ours": 1, "letters": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "ours") == [1, 1, None, 1, 1]
    assert values(scored, "letters") == pytest.approx([0.1, 0, 0.1 * fate.count("a"), 0, 0])
    assert scored[2].rewards["ours"].unscored == "ours: deadline of 0.7 s passed"
    assert scored[2].total is None
    assert time.monotonic() - began < 20  # and not for ever


@pytest.mark.parametrize("fate", ["hang", "busy"])
def test_a_hang_of_the_models_text_is_scored_at_the_least(scorer: Make, task: Task, fate: str) -> None:
    took = []
    with scorer({"theirs": 2}) as each:
        for attempt in range(3):  # the machine may be busy with other things
            each.score([Row(task, f"warm {attempt}")])
            began = time.monotonic()
            (row,) = each.score([Row(task, f"{fate} {attempt}")])
            took.append(time.monotonic() - began)
            if took[-1] < 0.7 + 0.5:
                break
    assert min(took) < 0.7 + 0.5, "its deadline and half a second"
    cell = row.rewards["theirs"]
    assert (cell.value, cell.unscored, cell.correct, row.total) == (-1.0, None, False, -2.0)
    assert "ran for more than 0.7 s" in cell.feedback


@pytest.mark.parametrize("fate", ["exit", "abort"])
def test_a_crash_is_blamed_on_whose_text_it_was(scorer: Make, task: Task, fate: str, log: Path) -> None:
    texts = ["a", fate, "b"]
    scored = scorer({"ours": 1, "theirs": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "ours") == [1, None, 1]
    assert values(scored, "theirs") == [1, -1, 1]
    assert "died" in str(scored[1].rewards["ours"].unscored)
    counts = Counter(log.read_text().splitlines())
    assert counts[f"theirs {fate}"] == 2, "a crash is tried once more by itself, then believed"


@pytest.mark.parametrize(("text", "value"), [("hang", 0.0), ("reference hang", None), ("exit", 0.0)])
def test_a_process_reward_is_the_models_but_for_the_reference(
    scorer: Make, task: Task, text: str, value: float | None
) -> None:
    assert only(scorer({"process": 1}), task, text).value == value


def test_a_worker_killed_from_outside_in_a_chunk_costs_nothing(scorer: Make, task: Task) -> None:
    texts = ["a", "b", "killed once", "c"]
    scored = scorer({"theirs": 1, "ours": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "theirs") == [1, 1, 1, 1]
    assert values(scored, "ours") == [1, 1, 1, 1]


def test_what_was_finished_before_a_kill_is_not_done_again(scorer: Make, task: Task, log: Path) -> None:
    texts = ["nap 1", "nap 2", "nap 3", "hang", "a"]
    scored = scorer({"ours": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "ours") == [1, 1, 1, None, 1]
    assert Counter(log.read_text().splitlines()) == {f"ours {text}": 1 for text in texts}


def test_workers_killed_while_idle_are_replaced(scorer: Make, task: Task) -> None:
    with scorer({"right": 1}, workers=2) as each:
        each.score([Row(task, "right")])
        for seat in each._pool._seats:  # type: ignore[union-attr]
            os.kill(seat.worker.pid, signal.SIGKILL)
        time.sleep(0.1)
        assert values(each.score([Row(task, f"right {n}") for n in range(40)]), "right") == [1.0] * 40


def test_memory_is_limited_and_the_worker_lives_on(scorer: Make, task: Task) -> None:
    scored = scorer({"ours": 1}).score([Row(task, text) for text in ("memory", "a")])
    assert values(scored, "ours") == [None, 1]
    assert "MemoryError" in str(scored[0].rewards["ours"].unscored)


def test_a_flood_of_output_is_swallowed(scorer: Make, task: Task, capfd: pytest.CaptureFixture[str]) -> None:
    assert only(scorer({"ours": 1}), task, "shout").value == 1
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("fate", ["quit", "deep"])
def test_leaving_and_recursing_are_failures_of_the_reward(scorer: Make, task: Task, fate: str) -> None:
    scored = scorer({"ours": 1}).score([Row(task, text) for text in (fate, "a")])
    assert values(scored, "ours") == [None, 1]
    assert {"quit": "SystemExit", "deep": "RecursionError"}[fate] in str(scored[0].rewards["ours"].unscored)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("parse raise", "raised ValueError: cannot read this"),
        ("parse changes", "changed the text"),
        ("parse object", "raised TypeError"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_text_that_the_parser_fails_on_is_unscored_for_every_reward(
    scorer: Make, task: Task, text: str, why: str, workers: int
) -> None:
    texts = ["right", text, "right too"]
    scored = scorer({"right": 1, "slow": 1, "letters": 1}, workers=workers).score([Row(task, text) for text in texts])
    assert all(why in str(cell.unscored) for cell in scored[1].rewards.values())
    assert scored[1].completion.text == text
    assert values(scored, "right") == [1, None, 1]


def test_a_hang_in_the_parser_is_ours(scorer: Make, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["right", "parse hang", "right too"]
    scored = scorer({"right": 1, "letters": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "right") == [1, None, 1]
    assert "parser ran for more than 5 s" in str(scored[1].rewards["letters"].unscored)


def test_a_batch_that_hangs_or_raises_is_taken_apart(scorer: Make, task: Task, log: Path) -> None:
    scored = scorer({"batch": 1}).score([Row(task, text) for text in ("a", "hang", "bb", "raise", "ccc")])
    assert values(scored, "batch") == [0.01, None, 0.02, None, 0.03]
    assert "deadline" in str(scored[1].rewards["batch"].unscored)
    assert "raised ValueError: one of them" in str(scored[3].rewards["batch"].unscored)
    assert log.read_text().startswith("batch 5\n")


@pytest.mark.parametrize(
    ("text", "why"), [("short", "returned 0 results for a batch of 1"), ("number", "returned float")]
)
def test_a_batch_of_another_length_is_unscored(scorer: Make, task: Task, text: str, why: str) -> None:
    assert why in str(only(scorer({"batch": 1}), task, text).unscored)


ODD = {
    "none": "returned None",
    "nan": "its value is nan",
    "infinite": "its value is inf",
    "huge": "its value is inf",
    "text": "its value is str",
    "list": "its value is list",
    "high": "value 1.5 is outside its bounds [0, 1]",
    "low": "value -0.1 is outside its bounds [0, 1]",
    "sum high": "value 1.6 is outside its bounds [0, 1]",
    "unscored": "no such luck",
    "span outside": "outside the text of 12 characters",
    "span before": "a span is at [-1, 2)",
    "span backwards": "a span is at [3, 2)",
    "span of floats": "whole numbers are needed",
    "span nan": "the value of the span at [0, 1) is nan",
    "span tuple": "a span is tuple",
    "span none": "its result cannot be read",
    "part nan": "part 'p' is nan",
    "correct text": "correct is str 'yes'",
}


@pytest.mark.parametrize("workers", [0, 1])
def test_what_breaks_the_contract_is_unscored_and_says_why(scorer: Make, task: Task, workers: int) -> None:
    scored = scorer({"odd": 1}, workers=workers).score([Row(task, text) for text in [*ODD, "fine"]])
    for row, (text, why) in zip(scored, ODD.items(), strict=False):
        reason = row.rewards["odd"].unscored
        assert reason is not None, text
        assert reason.startswith("odd: "), text
        assert why in reason
        assert row.total is None
    assert scored[-1].total == 0.5


@pytest.mark.parametrize("workers", [0, 1])
def test_what_keeps_the_contract_is_scored(scorer: Make, task: Task, workers: int) -> None:
    texts = ["nearly", "whole", "true", "long feedback"]
    scored = scorer({"odd": 1}, workers=workers).score([Row(task, text) for text in texts])
    assert values(scored, "odd") == pytest.approx([1, 1, 1, 0.5])
    assert [row.rewards["odd"].correct for row in scored] == [None, None, True, None]
    assert len(scored[-1].rewards["odd"].feedback) == 2000


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_is_unscored_with_its_name(scorer: Make, task: Task, workers: int) -> None:
    texts = ["key", "memory", "stop", "plain"]
    scored = scorer({"raising": 1}, workers=workers).score([Row(task, text) for text in texts])
    reasons = [str(row.rewards["raising"].unscored) for row in scored]
    assert [reason.split()[2].rstrip(":") for reason in reasons] == [
        "KeyError",
        "MemoryError",
        "StopIteration",
        "ValueError",
    ]


def test_async_rewards_have_their_deadline_and_their_failures(scorer: Make, task: Task) -> None:
    texts = ["a" * 10, "async hang", "async raise", "b" * 20]
    scored = scorer({"slow": 1}).score([Row(task, text) for text in texts])
    assert values(scored, "slow") == [0.1, None, None, 0.2]
    assert "deadline of 1.4 s passed" in str(scored[1].rewards["slow"].unscored)
    assert "raised ValueError: async" in str(scored[2].rewards["slow"].unscored)


@pytest.mark.slow
def test_a_blocked_event_loop_is_given_up_and_replaced(scorer: Make, task: Task) -> None:
    each = scorer({"slow": 1})
    began = time.monotonic()
    assert values(each.score([Row(task, "block"), Row(task, "a" * 10)]), "slow")[0] is None
    assert time.monotonic() - began < 20
    assert values(each.score([Row(task, "a" * 10)]), "slow") == [0.1]


def test_scoring_works_inside_a_running_event_loop(scorer: Make, task: Task) -> None:
    import asyncio

    async def cell() -> float | None:
        return scorer({"slow": 1}).score([Row(task, "a" * 10)])[0].total

    assert asyncio.run(cell()) == 0.1


def test_an_interrupt_leaves_a_scorer_that_still_works(scorer: Make, task: Task) -> None:
    each = scorer({"ours": 1})
    each.start()
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        each.score([Row(task, f"hang {n}") for n in range(20)])
    timer.join()
    assert values(each.score([Row(task, "a"), Row(task, "b")]), "ours") == [1, 1]


def test_closing_ends_every_worker_and_a_closed_scorer_says_so(scorer: Make, task: Task) -> None:
    each = scorer({"right": 1}, workers=2)
    each.score([Row(task, "right")])
    pids = [seat.worker.pid for seat in each._pool._seats]  # type: ignore[union-attr]
    each.close()
    assert not any(_lives(pid) for pid in pids)
    with pytest.raises(Exception, match="closed"):
        each.score([Row(task, "right")])


SCRIPT = """
import os, sys, threading
from honewise import Rubric, Task
from honewise.scoring import Row, Scorer
scorer = Scorer("trial", rubric=Rubric({"ours": 1}), workers=2)
scorer.start()
print(*[seat.worker.pid for seat in scorer._pool._seats], flush=True)
threading.Timer(0.3, lambda: os.kill(os.getpid(), int(sys.argv[1]))).start()
scorer.score([Row(Task(str(n), {}), f"hang {n}") for n in range(50)])
"""


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGTERM])
def test_a_parent_that_dies_with_work_pending_takes_its_workers_along(site: Path, way: int) -> None:
    path = os.pathsep.join([str(site), str(Path(__file__).parents[1] / "support")])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(int(way))],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -way
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2, done.stderr
    until = time.monotonic() + 5
    while any(_lives(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(_lives(pid) for pid in pids)


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
