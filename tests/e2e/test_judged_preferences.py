"""A judge that decides over pairs: what it was asked is kept, a budget stops it, and the policy may judge itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer
from judge_world import scored, verdict_of

from honewise.errors import JudgeBudgetExceeded
from honewise.runs.run import Run
from honewise.scoring.preferences import read_pairs
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: judged
runs_dir: "FOLDER/runs"
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 6}, held_out: {limit: 2}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric: {rewards: {clear: {fn: "clear.py:clear", weight: 0.5}}}
judge: {url: "URL", model: tiny, cache: "FOLDER/judge.sqlite", backoff: 0.02, prices: {input: 1.0, output: 2.0}}
stages:
  sft: {steps: 4, demonstrations: 6, batch: 4, trainer: {learning_rate: 2e-3}}
  pairs: {samples: 4, max_new_tokens: 12, sampled_at_once: 8, by: clear}
  online:
    stage: dpo
    rounds: {count: 2, prompts: 4, samples: 4, max_new_tokens: 12, sampled_at_once: 8, by: clear}
    steps: 1
    batch: 4
    trainer: {learning_rate: 1e-3}
"""
CLEAR = """
from honewise import Completion, Judge, JudgeTemplate, Task, Verdict, reward
from honewise.judges import scale

CLEAR = JudgeTemplate("clear.md", READ, package=__name__)


@reward
async def clear(task: Task, completion: Completion, judge: Judge) -> float:
    return (await judge(CLEAR, answer=completion.text)).value


def variety(completion): return min(1.0, len(set(completion.text)) / 32)
"""


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(scored) as running:
        yield running


def recipe(folder: Path, url: str = "http://127.0.0.1:1/v1", read: str = "scale(0, 10)") -> Path:
    folder.mkdir()
    (folder / "clear.py").write_text(CLEAR.replace("READ", read))
    (folder / "clear.md").write_text("Is {{answer}} clear? End with one line, Score: 0 to 10.")
    path = folder / "judged.yaml"
    path.write_text(RECIPE.replace("URL", url).replace("FOLDER", str(folder)))
    return path


def weights(run: Run) -> list[bytes]:
    return [file.read_bytes() for file in sorted((run.stage_folder("online") / "policy").glob("*.safetensors"))]


def test_a_budget_stops_pairs_and_rounds_and_no_call_is_paid_twice(tmp_path: Path, server: ChatServer) -> None:
    with run_recipe(recipe(tmp_path / "whole", server.url)) as whole:
        calls = whole.store.calls()
        total = whole.store.judge_spent().calls
        in_pairs = sum(one.stage == "pairs" and one.call.source == "endpoint" for one in calls)
        assert {one.stage for one in calls} == {"pairs", "online"}
        assert {one.step for one in calls if one.stage == "pairs"} == {1, 2, 3}, "one step for each chunk"
        assert {one.step for one in calls if one.stage == "online"} == {1, 2, 4, 5}, "and none for those of training"
        for stage, steps in (("pairs", (1, 2, 3)), ("online", (1, 2, 4, 5))):
            numbers = whole.store.metrics(stage)
            assert [numbers[step]["judge/asked"] for step in steps] == [8.0] * len(steps)
        expected = weights(whole)
        for pair in read_pairs(whole.stage_folder("pairs") / "pairs.jsonl"):
            assert pair.scores == tuple(verdict_of(text) for text in (pair.chosen, pair.rejected))
    assert 2 < in_pairs < total - 2
    server.calls.clear()
    path = recipe(tmp_path / "poor", server.url)
    for budget, stopped_in in ((in_pairs - 2, "pairs"), (total - 2, "online")):
        with pytest.raises(JudgeBudgetExceeded):
            run_recipe(path, [f"judge.budget.calls={budget}"], resume=stopped_in == "online")
        with Run.open(tmp_path / "poor/runs/judged") as stopped:
            state = stopped.store.stage(stopped_in)
            assert state is not None
            assert state.state == "stopped"
            assert stopped.store.judge_spent().calls == budget, (
                "those of the chunk that was given up were paid for, too"
            )
            assert all(row.scored.total is not None for row in stopped.store.rollouts(stopped_in))
    with run_recipe(path, [f"judge.budget.calls={total}"], resume=True) as resumed:
        assert weights(resumed) == expected
        assert resumed.store.judge_spent().calls == total
    assert sum(server.asked(answered=True).values()) == total


def test_the_policy_judges_its_own_pairs_with_its_adapter_off(tmp_path: Path) -> None:
    path = recipe(tmp_path / "own", read="lambda reply: Verdict(min(len(reply) / 100, 1.0))")
    with (path.parent / "given.jsonl").open("w") as file:
        for number in range(2):
            for text in ("4", "four and more"):
                file.write(json.dumps({"task_id": f"train-{number + 1}", "completion": text}) + "\n")
    own = ["judge={policy: adapter-off, max_tokens: 8}", "policy.lora={r: 4}",
           "rubric.rewards.variety={fn: 'clear.py:variety'}",
           "stages.pairs.by=variety", "stages.online.rounds.by=variety",
           "stages.pairs.sources={own: {policy: sft}, given: {file: given.jsonl}}"]  # fmt: skip
    with run_recipe(path, own) as run:
        for stage, count in (("pairs", 24 + 4), ("online", 2 * 16)):
            rows = run.store.rollouts(stage)
            assert len(rows) == count
            assert all(row.scored.rewards["clear"].value is not None for row in rows)
            assert run.store.calls(stage)[0].call.model == "the policy with its adapter off"
