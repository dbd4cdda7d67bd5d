"""The stage `revise`: answers critiqued and rewritten by principles, and a policy that learns from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer, last_text
from judge_talk import shown

from honewise.errors import JudgeBudgetExceeded, RecipeError, UnscoredBudgetExceeded
from honewise.runs.run import Run
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: revised
runs_dir: FOLDER/runs
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 12}, held_out: {limit: 2}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
judge: {url: "URL", model: tiny, cache: "FOLDER/judge.sqlite", deadline: 1.0, backoff: 0.02, timeout: 2.0}
stages:
  sft: {steps: 4, demonstrations: 8, batch: 4}
  revise: {constitution: principles.yaml, rounds: 2, limit: 4, samples: 2, max_new_tokens: 24}
  learn: {stage: sft, from: sft, on: answers, of: revise, steps: 3, batch: 4}
"""
PRINCIPLES = """
principles:
  - {id: short, critique: Say what is too long., revision: Make it shorter.}
  - {id: other, critique: Say what is wrong., revision: Mend it., domain: arithmetic}
  - {id: never, critique: Never said., revision: Never said., domain: elsewhere}
"""


def rewriting(body: Any) -> str:
    slots = shown(last_text(body))
    return f"{slots['answer'][:5].strip() or 'x'} = better" if "critique" in slots else "It is too long."


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "principles.yaml").write_text(PRINCIPLES)
    (tmp_path / "revised.yaml").write_text(RECIPE.replace("FOLDER", str(tmp_path)))
    return tmp_path / "revised.yaml"


def at(recipe: Path, server: ChatServer) -> str:
    return f"judge.url={server.url}"


LONG = ("stages.sft={steps: 60, demonstrations: 8, batch: 4, trainer: {learning_rate: 5e-3}}",)
"""Enough for some answers to come to an end."""


def test_answers_are_rewritten_and_learnt_from(recipe: Path) -> None:
    with ChatServer(rewriting) as server:
        run = run_recipe(recipe, [at(recipe, server), *LONG])
        calls = len(server.calls)
    rows = [json.loads(line) for line in (run.stage_folder("revise") / "revisions.jsonl").read_text().splitlines()]
    assert rows
    assert {row["principle"] for row in rows} <= {"short", "other"}
    assert {row["round"] for row in rows} == {0, 1}
    assert all(row["revision"].endswith("= better") and row["critique"] == "It is too long." for row in rows)
    assert all(row["provenance"]["constitution"] for row in rows)
    by = {(row["task_id"], row["answer"], row["round"]): row for row in rows}
    for (task, answer, turn), row in by.items():
        assert row["before"] == (answer if turn == 0 else by[task, answer, 0]["revision"])
    assert run.store.judge_spent().calls == calls
    assert all(state.state == "done" for state in run.store.stages())
    assert run.store.steps("learn")
    run.close()


def test_a_budget_stops_it_and_it_goes_on_without_paying_twice(recipe: Path) -> None:
    with ChatServer(rewriting) as server:
        with pytest.raises(JudgeBudgetExceeded):
            run_recipe(recipe, [at(recipe, server), *LONG, "judge.budget.calls=3"])
        stopped = Run.open(recipe.parent / "runs" / "revised")
        state = stopped.store.stage("revise")
        assert state is not None
        assert state.state == "stopped"
        assert not (stopped.stage_folder("revise") / "revisions.jsonl").exists()
        stopped.close()
        run = run_recipe(recipe, [at(recipe, server), *LONG, "judge.budget.calls=500"], resume=True)
        assert max(server.asked(answered=True).values()) == 1
        assert run.store.stage("revise").state == "done"  # type: ignore[union-attr]
        run.close()


def test_too_many_failures_stop_it(recipe: Path) -> None:
    def mute(body: Any) -> str:
        return "" if "critique" in shown(last_text(body)) else "It is too long."

    with (
        ChatServer(mute, lambda text, times: "refusal" if "<critique-" in text else None) as server,
        pytest.raises(UnscoredBudgetExceeded, match="could not be rewritten to the end"),
    ):
        run_recipe(recipe, [at(recipe, server), *LONG])


def test_what_is_wrong_is_told_before_anything_is_done(recipe: Path) -> None:
    for override, why in [
        ("judge=null", r"stages\.revise: needs a judge"),
        ("stages.revise.constitution=none.yaml", "none.yaml"),
        ("stages.learn.on=best", r"stages\.learn\.on: revisions have no score"),
        ("stages.revise.of=later", r"stages\.revise\.of: no earlier stage that trains 'later'"),
    ]:
        with pytest.raises(RecipeError, match=why):
            run_recipe(recipe, ["judge.url=http://127.0.0.1:9/v1" if "judge" not in override else override, override])
    assert not (recipe.parent / "runs").exists()
