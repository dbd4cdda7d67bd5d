"""Data stages from the command line: their example recipes, killed and resumed, and done by two processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer, last_text
from commands import begin, finish
from expert_world import Expert
from judge_talk import shown

from honewise.errors import RunError
from honewise.runs.store import Store

TINY = "policy.tiny={layers: 1, width: 32, heads: 2, vocabulary: 300, context: 160}"
PERSONAS = (
    TINY, "data.held_out.limit=4", "stages.sft={steps: 4, demonstrations: 8, batch: 4}", "stages.personas.count=24",
    "stages.personas.samples=3", "stages.personas.sampled_at_once=12", "stages.expert.steps=4", "stages.dpo.batch=4",
    "stages.evaluate.samples=1", "judge.cache=judge.sqlite",
)  # fmt: skip
REST = (
    TINY, "data.train.limit=24", "data.held_out.limit=4",
    "stages.sft={steps: 30, demonstrations: 12, batch: 8, trainer: {learning_rate: 5e-3}}",
    "stages.grow-1={stage: sft, on: above, n: 4, least: [0.01, 0.1], steps: 6, batch: 4, save_every: 2,"
    " max_new_tokens: 24}",
    "stages.grow-2={stage: sft, on: above, n: 4, least: 0.01, steps: 4, batch: 4, max_new_tokens: 24}",
    "stages.evaluate.samples=1", "rubric.rewards={length: {fn: 'length.py:length', weight: 1.0}}",
)  # fmt: skip
LENGTH = "def length(completion): return min(1.0, len(completion.text) / 50)"
"""A reward that a model earns before it has learnt anything."""
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def personas(folder: Path, url: str, *more: str, count: int = 1) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    launcher = LAUNCHER if count == 2 else ()
    return begin(folder, "run", "arithmetic/personas", f"judge.url={url}", *PERSONAS, *more, launcher=launcher)


def rows_of(folder: Path, name: str = "instructions.jsonl") -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (folder / "runs/sums-personas/stages/personas" / name).read_text().splitlines()
    ]


def wait_until(process: subprocess.Popen[str], there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 250
    while not there():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_the_recipe_of_personas(tmp_path: Path) -> None:
    with ChatServer(Expert(), models=("judge",)) as server:
        code, _, err = finish(personas(tmp_path, server.url))
    assert code == 0, err
    rows, tasks = rows_of(tmp_path), rows_of(tmp_path, "tasks.jsonl")
    assert [row["task_id"] for row in rows] == [task["id"] for task in tasks]
    assert len(tasks) == 20, "the baker writes four times what is no new task"
    assert all(row["total"] == max(row["totals"]) == 3.25 for row in rows)
    assert "personas: 20 tasks of 4 personas; 1 not written, 1 unreadable, 1 held-out, 1 repeated" in err
    with Store(tmp_path / "runs/sums-personas/run.sqlite", readonly=True) as store:
        assert all(state.state == "done" for state in store.stages())
    assert (tmp_path / "runs/sums-personas/report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("calls", [10, 45])
def test_personas_killed_and_resumed(calls: int, tmp_path: Path) -> None:
    """Killed while tasks are written, and while they are answered."""
    with ChatServer(Expert(), service=0.05, models=("judge",)) as server:
        process = personas(tmp_path, server.url, "judge.concurrency=2")
        wait_until(process, lambda: sum(server.asked(answered=True).values()) >= calls)
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
        assert not (tmp_path / "runs/sums-personas/stages/personas/instructions.jsonl").exists()
        code, _, err = finish(personas(tmp_path, server.url, "judge.concurrency=2", "--resume"))
        assert code == 0, err
        paid = sum(server.asked(answered=True).values())
        repairs = sum("holds no verdict" in last_text(call.body) for call in server.calls)
    rows, tasks = rows_of(tmp_path), rows_of(tmp_path, "tasks.jsonl")
    assert [row["task_id"] for row in rows] == [task["id"] for task in tasks]
    assert len(tasks) >= 18
    assert all(len(row["totals"]) == 3 and row["total"] == max(row["totals"]) for row in rows)
    assert 24 + 3 * len(tasks) <= paid <= 24 + 3 * len(tasks) + repairs + 2, "two were under way when it was killed"


@pytest.mark.slow
def test_personas_by_two_processes(tmp_path: Path) -> None:
    with ChatServer(Expert(), models=("judge",)) as server:
        code, _, err = finish(personas(tmp_path / "two", server.url, count=2))
        assert code == 0, err
        assert len(server.calls) == 24 + 1 + 60, "each question was asked by one of them"
    rows = rows_of(tmp_path / "two")
    assert [row["total"] for row in rows] == [3.25] * 20
    assert [row["task_id"] for row in rows] == [f"personas-{place}" for place in range(20)]
    with Store(tmp_path / "two/runs/sums-personas/run.sqlite", readonly=True) as store:
        assert store.judge_spent().calls == 24 + 1 + 60
        assert len(store.rollouts("personas")) == 60


@pytest.mark.slow
def test_a_budget_ends_two_processes(tmp_path: Path) -> None:
    """While the first process alone asks, and while both do."""
    with ChatServer(Expert(), models=("judge",)) as server:
        for budget, *more in ((10,), (50, "--resume"), (500, "--resume")):
            code, _, err = finish(personas(tmp_path, server.url, f"judge.budget.calls={budget}", *more, count=2))
            assert (code == 0) == (budget == 500), err
            assert err.count("stopped: the judge has cost what it may") == (budget < 500), err
        assert len(server.calls) == 24 + 1 + 60, "none was paid twice"


def rest(folder: Path, *more: str) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    (folder / "length.py").write_text(LENGTH)
    return begin(folder, "run", "arithmetic/rest", *REST, *more)


def weights(run: Path, stage: str) -> str:
    files = sorted((run / "stages" / stage / "policy").glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def test_the_recipe_of_rest(tmp_path: Path) -> None:
    code, _, err = finish(rest(tmp_path))
    assert code == 0, err
    with Store(tmp_path / "runs/sums-rest/run.sqlite", readonly=True) as store:
        assert all(state.state == "done" for state in store.stages())
        for stage, steps in (("grow-1", 12), ("grow-2", 4)):
            assert len(store.rollouts(stage)) == 4 * 24
            assert sum("loss" in numbers for numbers in store.metrics(stage).values()) == steps
    assert " from 0.01 on, " in err


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 14])
def test_rest_killed_and_resumed(step: int, tmp_path: Path) -> None:
    """Killed while it grows, and while it improves: the policies are those of a run that nobody killed."""
    code, _, err = finish(rest(tmp_path / "whole"))
    assert code == 0, err
    process = rest(tmp_path / "killed")
    runs = {name: tmp_path / name / "runs/sums-rest" for name in ("whole", "killed")}

    def there() -> bool:
        try:
            with Store(runs["killed"] / "run.sqlite", readonly=True) as store:
                return any(done >= step for done in store.steps("grow-1"))
        except RunError:
            return False

    wait_until(process, there)
    os.kill(process.pid, signal.SIGKILL)
    finish(process)
    code, _, err = finish(rest(tmp_path / "killed", "--resume"))
    assert code == 0, err
    for stage in ("grow-1", "grow-2"):
        assert weights(runs["killed"], stage) == weights(runs["whole"], stage)


REVISE = """
honewise: 1
name: revised
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 12}, held_out: {limit: 2}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
judge: {url: "URL", model: judge, cache: judge.sqlite}
stages:
  sft: {steps: 60, demonstrations: 8, batch: 4, trainer: {learning_rate: 5e-3}}
  revise: {constitution: principles.yaml, rounds: 1, limit: 4, samples: 2, max_new_tokens: 24}
"""


@pytest.mark.slow
def test_an_error_of_the_first_process_ends_both(tmp_path: Path) -> None:
    """The first process alone rewrites answers; here it cannot write them down."""

    def rewriting(body: Any) -> str:
        return "better" if "critique" in shown(last_text(body)) else "It is too long."

    (tmp_path / "principles.yaml").write_text(
        "- {id: short, critique: Say what is too long., revision: Make it short.}"
    )
    with ChatServer(rewriting, models=("judge",)) as server:
        (tmp_path / "revised.yaml").write_text(REVISE.replace("URL", server.url))
        code, _, err = finish(begin(tmp_path, "run", "revised.yaml", "judge.budget.calls=3", launcher=LAUNCHER))
        assert code != 0
        assert err.count("stopped: the judge has cost what it may") == 1, err
        stage = tmp_path / "runs/revised/stages/revise"
        (stage / "revisions.jsonl").mkdir()
        more = ("judge.budget.calls=500", "--resume")
        code, _, err = finish(begin(tmp_path, "run", "revised.yaml", *more, launcher=LAUNCHER))
        assert code != 0
        assert err.count("failed. Once the cause is gone") == 1, err
        assert err.count("IsADirectoryError") == 1, err
        with Store(tmp_path / "runs/revised/run.sqlite", readonly=True) as store:
            (state,) = (each for each in store.stages() if each.stage == "revise")
            assert state.state == "failed"
        (stage / "revisions.jsonl").rmdir()
        code, _, err = finish(begin(tmp_path, "run", "revised.yaml", *more, launcher=LAUNCHER))
        assert code == 0, err
        assert max(server.asked(answered=True).values()) == 1, "none was paid twice"
