"""Pairs, a reward model and dpo from the command line: killed while sampling, resumed, compared, reported."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

pytest.importorskip("trl")

from commands import begin, finish

from honewise.errors import RunError
from honewise.runs.store import Store

RECIPE = """
honewise: 1
name: likes
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 48}, held_out: {limit: 4}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric:
  rewards:
    variety: {fn: "mine.py:variety"}
    taste: {model: taste, weight: 0.5}
stages:
  sft: {steps: 4, demonstrations: 20, batch: 8, trainer: {learning_rate: 5e-3}}
  pairs: {samples: 4, max_new_tokens: 24, sampled_at_once: 16}
  taste: {stage: reward-model, steps: 3, batch: 4}
  best: {stage: sft, from: sft, on: best, of: pairs, steps: 2, batch: 8}
  dpo: {from: sft, batch: 16, trainer: {learning_rate: 1e-3}}
  evaluate: {of: [sft, best, dpo], samples: 2, controls: [{of: sft, temperature: 1.0, best_of: 3, by: taste}]}
"""


def recipe(folder: Path) -> None:
    (folder / "mine.py").write_text("def variety(completion): return min(1.0, len(set(completion.text)) / 32)\n")
    (folder / "likes.yaml").write_text(RECIPE)


def killed_after_chunks(folder: Path, chunks: int) -> None:
    """Start the run and end it at once when so many chunks of pairs are stored."""
    process = begin(folder, "run", "likes.yaml")
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, finish(process)
        try:
            with Store(folder / "runs/likes/run.sqlite", readonly=True) as store:
                if len(store.steps("pairs")) >= chunks:
                    break
        except RunError:
            pass  # not there yet
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    folder = tmp_path_factory.mktemp("whole")
    recipe(folder)
    code, out, err = finish(begin(folder, "run", "likes.yaml"))
    assert code == 0, err
    return folder, out, err


def test_the_plan_names_every_stage(tmp_path: Path) -> None:
    recipe(tmp_path)
    code, out, err = finish(begin(tmp_path, "run", "likes.yaml", "--dry-run"))
    assert code == 0, err
    assert "the last policy: 4 samples at 1, best-worst by total" in out
    assert "bradley-terry, 3 steps of 4 pairs" in out
    assert "sigmoid, beta 0.1, 1 epoch of 16 pairs" in out
    assert "the best of pairs" in out
    assert "control: sft at 1, best of 3 by taste" in out
    assert not (tmp_path / "runs").exists()


def test_what_is_said_on_the_way(whole: tuple[Path, str, str]) -> None:
    folder, out, err = whole
    told = [line.split() for line in err.splitlines()]
    assert ["step", "total", "correct", "digits", "steps", "form", "variety"] in told
    assert ["step", "loss", "margin", "accuracy"] in told
    assert any(line.startswith("pairs: ") and " pairs." in line for line in err.splitlines())
    assert any("held-out pairs as they are" in line for line in err.splitlines())
    assert "sft t=1 best of 3 by taste (control)" in out
    assert "dpo t=1 - sft t=1 best of 3 by taste" in out
    page = (folder / "runs/likes/report.html").read_text("utf-8")
    assert "Preference pairs" in page
    assert 'aria-label="margin over steps' in page
    assert 'aria-label="rewards/margins over steps' in page
    card = (folder / "runs/likes/card.md").read_text("utf-8")
    assert "- pairs (pairs): done" in card
    assert "held-out pairs" in card


@pytest.mark.slow
def test_a_killed_stage_goes_on_without_sampling_again(whole: tuple[Path, str, str], tmp_path: Path) -> None:
    recipe(tmp_path)
    killed_after_chunks(tmp_path, 3)
    store = tmp_path / "runs/likes/run.sqlite"
    with Store(store, readonly=True) as before:
        kept = {row.id for row in before.rollouts("pairs")}
    assert 48 <= len(kept) < 192, "killed on the way"
    code, _, err = finish(begin(tmp_path, "run", "likes.yaml", "--resume"))
    assert code == 0, err
    with Store(store, readonly=True) as after, Store(whole[0] / "runs/likes/run.sqlite", readonly=True) as other:
        assert kept <= {row.id for row in after.rollouts("pairs")}, "what was stored stays"
        texts = [[row.scored.completion.text for row in each.rollouts("pairs")] for each in (after, other)]
        assert texts[0] == texts[1]
        numbers = [{each.name: each.metrics for each in one.evaluations()} for one in (after, other)]
        assert numbers[0] == numbers[1]
    for stage, file in (("pairs", "pairs.jsonl"), ("taste", "model/model.safetensors"),
                        ("dpo", "policy/model.safetensors"), ("best", "policy/model.safetensors")):  # fmt: skip
        ours, theirs = (folder / "runs/likes/stages" / stage / file for folder in (tmp_path, whole[0]))
        assert ours.read_bytes() == theirs.read_bytes(), stage


def test_runs_are_compared_on_the_command_line(whole: tuple[Path, str, str]) -> None:
    code, out, err = finish(begin(whole[0], "compare", "likes", "likes", "--json"))
    assert code == 0, err
    found = json.loads(out)
    assert {each["role"] for each in found["gains"]} == {"sft", "sft on best of n", "best of n"}
    assert found["notes"] == ["not measured in any of these runs: sft on the critic's own answers"]
    one = found["gains"][0]
    assert set(one) == {"one", "other", "role", "metric", "difference", "low", "high", "tasks"}
    code, out, err = finish(begin(whole[0], "compare", "runs/likes"))
    assert code == 0, err
    assert "gain of training over" in out
    assert "likes: dpo t=1 - likes: best t=1" in out
    assert "not measured in any of these runs: sft on the critic's own answers" in err
    code, _, err = finish(begin(whole[0], "compare", "lkes"))
    assert code == 2
    assert "did you mean 'likes'?" in err
