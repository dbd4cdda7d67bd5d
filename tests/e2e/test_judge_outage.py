"""A judge over HTTP in the middle of `rl`: it fails, goes down, comes back, costs too much; the policy learns from none
of that, and no finished call is paid twice."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl")

from chat_server import ChatServer, hostile
from judge_world import CLEAR, answer_in, scored

from honewise.clients import Spent
from honewise.errors import JudgeBudgetExceeded, RunError, UnscoredBudgetExceeded
from honewise.runs.run import Run
from honewise.stages.runner import run_recipe

STEPS = 6
RECIPE = """
honewise: 1
name: judged
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 24}, held_out: {limit: 4}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric:
  rewards: {clear: {fn: "clear.py:clear", weight: 0.5}}
judge:
  url: "URL"
  model: tiny
  cache: "FOLDER/judge.sqlite"
  timeout: 2.0
  deadline: 1.0
  backoff: 0.02
  prices: {input: 1.0, output: 2.0}
stages:
  sft: {steps: 6, demonstrations: 8, batch: 4, trainer: {learning_rate: 2e-3}}
  rl: {steps: 6, prompts: 2, samples: 4, save_every: 100, trainer: {max_completion_length: 16, learning_rate: 1e-3}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "clear.py").write_text(CLEAR)
    (tmp_path / "clear.md").write_text("Is {{answer}} clear? End with one line, Score: 0 to 10.")
    return tmp_path


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(scored) as running:
        yield running


def recipe(folder: Path, server: ChatServer, name: str) -> Path:
    """One beside the reward, with a runs folder and a cache of its own."""
    own = folder / name
    own.mkdir()
    path = folder / f"{name}.yaml"
    text = RECIPE.replace("URL", server.url).replace("FOLDER", str(own))
    path.write_text(text.replace("name: judged", f"name: judged\nruns_dir: {own / 'runs'}"))
    return path


def weights(run: Run) -> str:
    files = sorted((run.stage_folder("rl") / "policy").glob("*.safetensors"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def finished(path: Path, *overrides: str, resume: bool = False) -> Run:
    run = run_recipe(path, overrides, resume=resume)
    run.close()
    return Run.open(run.path)


def after(server: ChatServer, calls: int) -> threading.Thread:
    """Takes the server down once it was asked so often."""

    def wait() -> None:
        while len(server.calls) < calls:
            time.sleep(0.005)
        server.stop()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_judge_that_is_out_teaches_nothing(folder: Path, server: ChatServer) -> None:
    """What it would have judged is unscored, the other rewards are learnt from: the policy ends as without a judge."""
    server.stop()
    out = finished(recipe(folder, server, "out"), "rubric.max_unscored=1.0", "judge.deadline=0.2")
    without = finished(recipe(folder, server, "without"), "rubric={}", "judge=null")
    assert weights(out) == weights(without)
    rows = out.store.rollouts("rl")
    assert len(rows) == STEPS * 8
    assert all(row.scored.rewards["clear"].value is None for row in rows)
    assert all("cannot be reached" in str(row.scored.rewards["clear"].unscored) for row in rows)
    assert all(row.scored.total is None and row.scored.rewards["correct"].value is not None for row in rows)
    assert {call.call.source for call in out.store.calls("rl")} <= {"failed", "shared"}
    assert out.store.metrics("rl")[STEPS]["judge/failed"] == 1.0


def test_a_hostile_judge_does_not_end_the_run(folder: Path, server: ChatServer) -> None:
    refuses, breaks = hostile(0.2, "x", ("refusal",)), hostile(0.3, "y", ("429", "500", "cut", "html", "drop"))
    server.fault = lambda text, times: refuses(answer_in(text), 0) or breaks(text, times)
    run = finished(recipe(folder, server, "hostile"), "rubric.max_unscored=0.9", "judge.deadline=20.0")
    rows = run.store.rollouts("rl")
    for row in rows:
        cell = row.scored.rewards["clear"]
        refused = refuses(row.scored.completion.text, 0)
        assert (cell.value is None) == bool(refused), cell
        assert ("refused" in (cell.unscored or "")) == bool(refused)
    assert any(row.scored.total is None for row in rows)
    assert not all(row.scored.total is None for row in rows)
    assert run.store.judge_spent().calls == len([c for c in server.calls if c.answered and c.fault is None])


def test_down_in_the_middle_it_stops_with_a_checkpoint_and_goes_on(folder: Path, server: ChatServer) -> None:
    whole = finished(recipe(folder, server, "whole"))
    paid = sum(server.asked(answered=True).values())
    server.calls.clear()
    path = recipe(folder, server, "broken")
    watcher = after(server, paid // 2)
    with pytest.raises(UnscoredBudgetExceeded, match="cannot be reached"):
        run_recipe(path)
    watcher.join()
    stopped = Run.open(folder / "broken/runs/judged")
    done = stopped.store.steps("rl")
    assert 1 <= len(done) < STEPS
    state = stopped.store.stage("rl")
    assert state is not None
    assert state.state == "stopped"
    assert (stopped.stage_folder("rl") / f"checkpoint-{done[-1]}").is_dir()
    assert all(row.scored.total is not None for row in stopped.store.rollouts("rl")), (
        "the step that failed is not there"
    )
    stopped.close()
    server.start()
    resumed = finished(path, resume=True)
    assert weights(resumed) == weights(whole)
    # The server counts what it sent; up to a step's worth of that may have been lost on the way when it went down.
    assert paid <= sum(server.asked(answered=True).values()) <= paid + 8, "a finished call was paid again"
    spent, expected = resumed.store.judge_spent(), whole.store.judge_spent()
    assert spent == Spent(expected.calls, expected.tokens, pytest.approx(expected.cost))
    for numbers in resumed.store.metrics("rl").values():
        assert numbers["judge/asked"] == 8
        assert numbers["judge/failed"] == 0
        assert numbers["judge/cost"] == pytest.approx(numbers["judge/calls"] * (100 * 1.0 + 10 * 2.0) / 1e6)


def test_a_budget_stops_it_cleanly_and_a_larger_one_lets_it_go_on(folder: Path, server: ChatServer) -> None:
    whole = finished(recipe(folder, server, "whole"))
    total = whole.store.judge_spent().calls
    path = recipe(folder, server, "poor")
    with pytest.raises(JudgeBudgetExceeded, match=rf"calls {total // 2} of {total // 2}; to go on, allow it more with"):
        run_recipe(path, [f"judge.budget.calls={total // 2}"])
    stopped = Run.open(folder / "poor/runs/judged")
    done = stopped.store.steps("rl")
    assert 1 <= len(done) < STEPS
    assert (stopped.stage_folder("rl") / f"checkpoint-{done[-1]}").is_dir()
    assert stopped.store.judge_spent().calls == total // 2, "those of the step that was given up were paid for, too"
    stopped.close()
    with pytest.raises(JudgeBudgetExceeded):
        run_recipe(path, [f"judge.budget.calls={total // 2}"], resume=True)
    with pytest.raises(RunError, match=r"judge\.temperature: 0\.0 there, 1\.0 now"):
        run_recipe(path, ["judge.temperature=1.0"], resume=True)
    resumed = finished(path, f"judge.budget.calls={total}", resume=True)
    assert weights(resumed) == weights(whole)
    assert resumed.store.judge_spent().calls == total


def test_no_key_is_left_anywhere(folder: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-very-secret-0123456789"
    monkeypatch.setenv("JUDGE_KEY", key)
    server.answer = lambda body: f"With {key} I say\nScore: 5"
    broken = hostile(0.3, "z", ("401",))
    server.fault = lambda text, times: broken(text, times)
    finished(recipe(folder, server, "secret"), "judge.api_key_env=JUDGE_KEY", "rubric.max_unscored=1.0").close()
    assert server.calls[0].headers["authorization"] == f"Bearer {key}"
    files = [file for file in (folder / "secret").rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if key.encode() in file.read_bytes()]


def test_the_policy_judges_itself_with_its_adapter_off(folder: Path, server: ChatServer) -> None:
    path = recipe(folder, server, "own")
    (folder / "clear.py").write_text(CLEAR.replace("scale(0, 10)", "lambda reply: Verdict(min(len(reply) / 100, 1.0))")
                                     .replace("import Completion", "import Verdict, Completion"))  # fmt: skip
    own = ["judge={policy: adapter-off, max_tokens: 8}", "policy.lora={r: 4}", "stages.rl.steps=2",
           "stages.evaluate={of: [base, rl], samples: 0}"]  # fmt: skip
    one = finished(path, *own)
    rows = one.store.rollouts("rl")
    assert all(row.scored.rewards["clear"].value is not None for row in rows)
    calls = one.store.calls("rl")
    assert {call.call.source for call in calls} <= {"endpoint", "shared"}
    assert calls[0].call.model == "the policy with its adapter off"
    for evaluation in one.store.evaluations("evaluate"):
        assert evaluation.settings["scored"] == evaluation.settings["completions"] == 4
        assert evaluation.metrics["judge/asked"] >= 1
        assert evaluation.metrics["judge/failed"] == 0
    two = finished(path, *own, f"runs_dir={folder / 'again'}")
    assert weights(one) == weights(two)
    assert not server.calls
