"""A whole recipe by two processes, as a launcher starts them: one run, the same numbers as one process gives."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("trl")

from chat_server import ChatServer
from commands import begin, finish
from judge_world import CLEAR, scored

from honewise.errors import RunError
from honewise.runs import manifest
from honewise.runs.store import Store

pytestmark = pytest.mark.slow

CHANGES = (
    "data.held_out.limit=9",
    "policy.tiny={layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}",
    "stages.sft={demonstrations: 24, steps: 6, batch: 8, trainer: {learning_rate: 1e-4}}",
    "stages.rl={algorithm: ppo, steps: 12, prompts: 2, samples: 4, save_every: 2, kl: {coef: 0.1, controller: adaptive,"
    " target: 0.1, unit: sequence, horizon: 100}, trainer: {max_completion_length: 16, num_iterations: 2,"
    " learning_rate: 1e-4}}",
    "stages.evaluate={samples: 2}",
)


def start(
    folder: Path, *more: str, count: int = 2, changes: Sequence[str] = CHANGES, recipe: str = "arithmetic/quickstart"
) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)] if count > 1 else []
    return begin(folder, "run", recipe, *changes, *more, launcher=launcher)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("two")
    code, out, err = finish(start(folder))
    assert code == 0, err
    return folder / "runs/sums-quickstart", out, err


def steady(store: Store, stage: str) -> dict[int, dict[str, float]]:
    left = ("seconds", "time", "clip_ratio/low_min", "clip_ratio/high_max", "num_tokens")
    return {
        step: {name: value for name, value in each.items() if not any(part in name for part in left)}
        for step, each in store.metrics(stage).items()
    }


def test_one_speaks_and_one_run_is_there(two: tuple[Path, str, str]) -> None:
    run, out, err = two
    assert out.count("report: runs/sums-quickstart/report.html") == 1
    assert err.count("sft: 6/6") == err.count("rl: 12/12") == 1
    assert [path.name for path in run.parent.iterdir()] == ["sums-quickstart"]
    assert manifest.read(run)["processes"] == 2
    assert (run / "card.md").is_file()
    with Store(run / "run.sqlite", readonly=True) as store:
        assert store.fact("state") == "finished"
        assert store.steps("rl") == list(range(1, 13))
        assert [len(store.rollouts("rl", step)) for step in (1, 2, 3)] == [8, 0, 8]
        assert all(state.state == "done" for state in store.stages())


def test_the_numbers_are_those_of_one_process(two: tuple[Path, str, str], tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, count=1))
    assert code == 0, err
    one = tmp_path / "runs/sums-quickstart"
    for stage in ("sft", "rl"):
        ours, theirs = (load_file(run / "stages" / stage / "policy/model.safetensors") for run in (two[0], one))
        assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5
    ours, theirs = (load_file(run / "stages/rl/critic/critic.safetensors") for run in (two[0], one))
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
    with (
        Store(two[0] / "run.sqlite", readonly=True) as ours_store,
        Store(one / "run.sqlite", readonly=True) as their_store,
    ):
        for stage in ("sft", "rl"):
            numbers, wanted = steady(ours_store, stage), steady(their_store, stage)
            for step, each in wanted.items():
                assert numbers[step] == pytest.approx(each, rel=1e-3, abs=1e-5), (stage, step)
        texts = [[row.scored.completion.text for row in store.rollouts()] for store in (ours_store, their_store)]
        assert texts[0] == texts[1], "what was sampled, in training and in evaluation"
        evaluations = [{each.name: dict(each.metrics) for each in s.evaluations()} for s in (ours_store, their_store)]
        assert evaluations[0] == evaluations[1]
        assert [pair.difference for pair in ours_store.comparisons()] == [
            pair.difference for pair in their_store.comparisons()
        ]


def workers(launcher: subprocess.Popen[str]) -> list[int]:
    """The processes that a launcher has started, each in a session of its own."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        if int(fields[1]) == launcher.pid:
            found.append(int(status.parent.name))
    return found


@pytest.mark.parametrize("how", ["killed", "interrupted"])
def test_stopped_and_resumed(how: str, two: tuple[Path, str, str], tmp_path: Path) -> None:
    process = start(tmp_path)
    run = tmp_path / "runs/sums-quickstart"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, finish(process)
        try:
            with Store(run / "run.sqlite", readonly=True) as reader:
                if any(step >= 3 for step in reader.steps("rl")):
                    break
        except RunError:
            pass
        time.sleep(0.02)
    ranks = workers(process)
    assert len(ranks) == 2
    if how == "killed":
        for pid in [*ranks, process.pid]:
            os.kill(pid, signal.SIGKILL)
    else:
        process.send_signal(signal.SIGINT)
    _, _, err = finish(process)
    with Store(run / "run.sqlite", readonly=True) as store:
        state = next(each for each in store.stages() if each.stage == "rl")
    if how == "interrupted":
        assert err.count("interrupted. To go on from the last checkpoint:") == 1, err
        assert state.state == "stopped"
        assert (run / "stages/rl" / f"checkpoint-{state.steps}").is_dir()
    code, _, err = finish(start(tmp_path, "--resume", count=1))
    assert code == 2
    assert "begun by 2 processes" in err
    code, _, err = finish(start(tmp_path, "--resume"))
    assert code == 0, err
    ours, theirs = (load_file(each / "stages/rl/policy/model.safetensors") for each in (run, two[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_refusal_is_said_once(tmp_path: Path) -> None:
    code, _, err = finish(start(tmp_path, "stages.rl.prompts=3", "stages.rl.samples=3"))
    assert code != 0
    assert err.count("error: ") == 1
    assert "minibatches: 2 processes x 1 minibatches do not divide the 9 completions" in err


JUDGED = """
honewise: 1
name: judged
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 24}, held_out: {limit: 4}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric: {rewards: {clear: {fn: "clear.py:clear", weight: 0.5}}}
judge: {url: "URL", model: tiny, cache: "judge.sqlite", timeout: 5.0}
stages:
  sft: {steps: 6, demonstrations: 8, batch: 4, trainer: {learning_rate: 2e-3}}
  rl: {steps: 4, prompts: 2, samples: 4, save_every: 100, trainer: {max_completion_length: 16, learning_rate: 1e-3}}
  evaluate: {of: [rl], samples: 2}
"""


def judged(folder: Path, url: str, *more: str, count: int = 2) -> tuple[int, str, str]:
    folder.mkdir(exist_ok=True)
    (folder / "clear.py").write_text(CLEAR)
    (folder / "clear.md").write_text("Is {{answer}} clear? End with one line, Score: 0 to 10.")
    (folder / "judged.yaml").write_text(JUDGED.replace("URL", url))
    return finish(start(folder, *more, count=count, recipe="judged.yaml", changes=()))


def test_a_judge_is_asked_by_both_and_paid_from_one_purse(tmp_path: Path) -> None:
    with ChatServer(scored) as server:
        code, _, err = judged(tmp_path / "one", server.url, count=1)
        assert code == 0, err
        server.calls.clear()
        code, _, err = judged(tmp_path / "two", server.url)
        assert code == 0, err
        asked = sum(server.asked(answered=True).values())
        with (
            Store(tmp_path / "two/runs/judged/run.sqlite", readonly=True) as ours,
            Store(tmp_path / "one/runs/judged/run.sqlite", readonly=True) as theirs,
        ):
            assert ours.judge_spent().calls == asked, "the first process has stored what both have asked"
            assert [row.scored.completion.text for row in ours.rollouts()] == [
                row.scored.completion.text for row in theirs.rollouts()
            ]
            assert {s: each["judge/asked"] for s, each in ours.metrics("rl").items()} == {
                s: each["judge/asked"] for s, each in theirs.metrics("rl").items()
            }
        half = asked // 2
        code, _, err = judged(tmp_path / "poor", server.url, f"judge.budget.calls={half}")
        assert code != 0
        assert err.count("stopped: the judge has cost what it may") == 1
        with Store(tmp_path / "poor/runs/judged/run.sqlite", readonly=True) as stopped:
            assert half <= stopped.judge_spent().calls <= half + 8, "by no more than a step of the other process"
        code, _, err = judged(tmp_path / "poor", server.url, f"judge.budget.calls={2 * asked}", "--resume")
        assert code == 0, err
    ours, theirs = (
        load_file(tmp_path / each / "runs/judged/stages/rl/policy/model.safetensors") for each in ("poor", "two")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
