"""The stage `personas`: tasks that a model writes as somebody, the best of several answers, who learns from them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer
from expert_world import Expert

from honewise.builtin.expressions import work_out
from honewise.data import load_tasks
from honewise.errors import JudgeBudgetExceeded, RecipeError, UnscoredBudgetExceeded, UserError
from honewise.host import get_host
from honewise.runs import manifest
from honewise.runs.preferences import sentences
from honewise.runs.run import Run
from honewise.scoring.preferences import read_pairs
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: expert
runs_dir: FOLDER/runs
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 12}, held_out: {limit: 28}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 160}}
judge: {url: "URL", model: tiny, cache: "FOLDER/judge.sqlite", deadline: 1.0, backoff: 0.02, timeout: 2.0}
rubric: {max_unscored: 0.3}
stages:
  sft: {steps: 3, demonstrations: 8, batch: 4}
  personas:
    personas: experts.yaml
    about: sums of two numbers
    fields: {expression: the sum}
    format: sums
    count: 20
    samples: 3
    max_new_tokens: 60
    sampled_at_once: 12
  expert: {stage: sft, from: sft, on: best, of: personas, least: 2.0, steps: 2, batch: 4}
  again: {stage: sft, from: sft, on: above, of: personas, least: [0.5, 2.0], steps: 2, batch: 4}
  pairs: {sources: {personas: {stage: personas}}}
  dpo: {from: expert, steps: 2, batch: 4}
"""
EXPERTS = """
personas:
  - {id: baker, text: A baker.}
  - {id: nurse, text: A nurse., domain: arithmetic}
  - {id: doctor, text: A doctor., domain: medical-mcq}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "experts.yaml").write_text(EXPERTS)
    (tmp_path / "expert.yaml").write_text(RECIPE.replace("FOLDER", str(tmp_path)))
    return tmp_path / "expert.yaml"


def rows_of(run: Run, name: str = "instructions.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.stage_folder("personas") / name).read_text().splitlines()]


def test_tasks_are_written_answered_and_the_best_is_learnt_from(recipe: Path) -> None:
    with ChatServer(Expert()) as server:
        run = run_recipe(recipe, [f"judge.url={server.url}"])
        calls = len(server.calls)
    tasks, rows = rows_of(run, "tasks.jsonl"), rows_of(run)
    assert len(tasks) == 16, "of 20: one without a row, one that is no sum, one held out, one repeated"
    assert Counter(task["meta"]["persona"] for task in tasks) == {"nurse": 10, "baker": 6}
    assert [row["task_id"] for row in rows] == [task["id"] for task in tasks]
    for task, row in zip(tasks, rows, strict=True):
        answer = work_out(task["inputs"]["expression"])[-1].result
        assert f"Work out {task['inputs']['expression']}" in row["prompt"][0]["content"]
        assert row["completion"].startswith("<think>")
        assert f"<answer>{answer}</answer>" in row["completion"]
        assert row["total"] == 3.25 == max(row["totals"])
        assert len(set(row["totals"])) == 3
        assert row["persona"] == task["meta"]["persona"]
        assert row["provenance"]["personas"] == rows[0]["provenance"]["personas"]
        assert row["provenance"]["writer"] == "tiny"
    domain = get_host().domain("arithmetic", numbers=2, largest=9)
    read = load_tasks(domain, path=run.stage_folder("personas") / "tasks.jsonl")
    assert (len(read), read.format) == (16, "jsonl"), "the file is a data set of the domain"
    numbers = run.store.metrics("personas")
    last = numbers[max(numbers)]
    assert last["reward/best"] == 3.25 > last["reward/all"]
    assert last["characters/best"] > last["characters/all"]
    assert sum(each.get("tasks/kept", 0.0) for each in numbers.values()) == 16
    assert run.store.judge_spent().calls == calls
    assert all("judge/unread" in each for step, each in numbers.items() if step < max(numbers))
    (told,) = (line for line in sentences(run.store) if line.startswith("personas: 16 tasks"))
    assert "the best answers to 16 total 3.25 on average" in told
    noted = manifest.read(run.path)["stages"]
    assert noted["personas"]["instructions"] == noted["expert"]["demonstrations"] == 16
    assert noted["again"]["demonstrations"] == 32, "two of three kinds of answers reach 0.5"
    assert len(run.store.steps("again")) == 4, "two thresholds of two steps"
    pairs = read_pairs(run.stage_folder("pairs") / "pairs.jsonl")
    assert len(pairs) == 16
    assert all(pair.chosen.startswith("<think>") and pair.rejected == "I do not know." for pair in pairs)
    assert all(state.state == "done" for state in run.store.stages())
    run.close()


def test_a_policy_answers(recipe: Path) -> None:
    few = ["stages.personas.of=sft", "stages.personas.count=4", "stages.personas.max_new_tokens=8"]
    rest = ["stages.expert=null", "stages.again=null", "stages.pairs=null", "stages.dpo=null"]
    with ChatServer(Expert()) as server:
        with pytest.raises(RecipeError):
            run_recipe(recipe, [f"judge.url={server.url}", *few, *rest])
        text = recipe.read_text()
        recipe.write_text(text[: text.index("  expert:")])
        run = run_recipe(recipe, [f"judge.url={server.url}", *few])
        assert len(server.calls) == len(run.store.calls()), "the judge wrote tasks alone"
    stored = run.store.rollouts("personas")
    assert len(stored) == 3 * len(rows_of(run, "tasks.jsonl")) > 0
    assert manifest.read(run.path)["stages"]["personas"]["of"] == "sft"
    run.close()


@pytest.mark.parametrize("budget", [7, 25, 50])
def test_a_budget_stops_it_and_it_goes_on_without_paying_twice(recipe: Path, budget: int) -> None:
    text = recipe.read_text()
    recipe.write_text(text[: text.index("  expert:")])
    with ChatServer(Expert()) as server:
        at = f"judge.url={server.url}"
        with pytest.raises(JudgeBudgetExceeded):
            run_recipe(recipe, [at, f"judge.budget.calls={budget}"])
        with Run.open(recipe.parent / "runs" / "expert") as stopped:
            state = stopped.store.stage("personas")
            assert state is not None
            assert state.state == "stopped"
            assert stopped.store.judge_spent().calls == budget
            assert not (stopped.stage_folder("personas") / "instructions.jsonl").exists()
        run = run_recipe(recipe, [at, "judge.budget.calls=500"], resume=True)
        assert run.store.judge_spent().calls == len(server.calls) == 20 + 1 + 16 * 3
        assert len(rows_of(run)) == 16
        run.close()


def test_too_many_failures_stop_it(recipe: Path) -> None:
    def mute(text: str, times: int) -> str | None:
        return "refusal" if "<persona-" in text else None

    with (
        ChatServer(Expert(), mute) as server,
        pytest.raises(UnscoredBudgetExceeded, match="20 of 20 tasks could not be had of the judge"),
    ):
        run_recipe(recipe, [f"judge.url={server.url}"])


def test_too_many_missing_answers_stop_it(recipe: Path) -> None:
    def mute(text: str, times: int) -> str | None:
        return "refusal" if "Work out" in text and "persona" not in text and times % 3 else None

    with ChatServer(Expert(), mute) as server, pytest.raises(UnscoredBudgetExceeded, match="answers could not be had"):
        run_recipe(recipe, [f"judge.url={server.url}"])


def test_no_task_at_all_is_an_error_that_says_why(recipe: Path) -> None:
    with (
        ChatServer(lambda body: '{"expression": "a lot"}') as server,
        pytest.raises(
            UserError, match=r"no task came out of 20 \(20 unreadable\); the first that the domain could not"
        ),
    ):
        run_recipe(recipe, [f"judge.url={server.url}"])


def test_what_is_wrong_is_told_before_anything_is_done(recipe: Path) -> None:
    for override, why in [
        ("judge=null", r"stages\.personas: needs a judge"),
        ("stages.personas.personas=none.yaml", "none.yaml"),
        ("stages.personas.format=sum", "did you mean 'sums'"),
        ("stages.personas.given={expression: 1}", r"fields\.expression: is given already"),
        ("stages.personas.fields={a: x, a.b: y}", r"fields\.a\.b: is a part of another field"),
        ("stages.personas.fields={a b: x}", r"stages\.personas\.fields"),
        ("stages.personas.of=later", r"stages\.personas\.of: no earlier stage that trains 'later'"),
        ("stages.again.least=[2.0, 0.5]", r"stages\.again\.least.*must rise"),
        ("stages.again.least=null", r"stages\.again\.least: is missing"),
        ("stages.expert.least=[0.5, 2.0]", r"stages\.expert\.least: several thresholds are for on: above"),
        ("stages.expert.per_task=2", r"stages\.expert\.per_task: is for on: above"),
    ]:
        with pytest.raises((RecipeError, UserError), match=why):
            run_recipe(recipe, ["judge.url=http://127.0.0.1:9/v1" if "judge" not in override else override, override])
    assert not (recipe.parent / "runs").exists()
