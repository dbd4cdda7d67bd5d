"""A run of two domains by the command line: one process and two, killed and resumed, and what it leaves to be read."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("trl")

from commands import begin, finish

from honewise.errors import RunError
from honewise.runs import manifest
from honewise.runs.store import Store
from honewise.scoring import domain_of

MIXED = """
honewise: 1
name: mixed
device: cpu
domains:
  long: {use: arithmetic, numbers: 3, largest: 9, weight: 3, data: {train: {limit: 30}, held_out: {limit: 5}}}
  short:
    {use: arithmetic, numbers: 2, largest: 9, reasoning: false, data: {train: {limit: 20}, held_out: {limit: 9}},
     rubric: {cap_wrong: true, rewards: {own: {fn: "own.py:own", weight: 0.5}}}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
stages:
  sft: {demonstrations: 24, steps: 8, batch: 8, trainer: {learning_rate: 3e-3}}
  rl: {steps: 8, prompts: 4, samples: 4, scale: domain, save_every: 2, order: {easy_first: steps, start: 0.5},
       estimator_options: {kappa: group_mean}, trainer: {max_completion_length: 16, learning_rate: 1e-4}}
  evaluate: {of: [sft, rl], samples: 2, limit: 8}
"""

OWN = """
def own(completion):
    return sum(char.isdigit() for char in completion.text) / max(1, len(completion.text))
"""


def run(folder: Path, *more: str, count: int = 1) -> tuple[int, str, str]:
    return finish(start(folder, *more, count=count))


def start(folder: Path, *more: str, count: int = 1):  # type: ignore[no-untyped-def]
    folder.mkdir(exist_ok=True)
    (folder / "mixed.yaml").write_text(MIXED)
    (folder / "own.py").write_text(OWN)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)] if count > 1 else []
    return begin(folder, "run", "mixed.yaml", *more, launcher=launcher)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("one")
    code, out, err = run(folder)
    assert code == 0, err
    return folder / "runs/mixed", out


def test_each_domain_is_drawn_scored_and_told_of(one: tuple[Path, str]) -> None:
    path, out = one
    with Store(path / "run.sqlite", readonly=True) as store:
        for step, numbers in store.metrics("rl").items():
            rows = store.rollouts("rl", step)
            assert Counter(domain_of(row.scored.task) for row in rows) == {"long": 12, "short": 4}
            assert numbers["domain/long/share"] == 0.75
            for row in rows:
                name = domain_of(row.scored.task)
                assert all(reward.startswith(f"{name}/") for reward in row.scored.rewards)
                assert ("short/own" in row.scored.rewards) == (name == "short")
        sampled = next(each for each in store.evaluations() if each.name == "rl t=1")
        rows = store.rollouts(evaluation=sampled.id)
        assert Counter(domain_of(row.scored.task) for row in rows) == {"long": 6, "short": 10}, "8 of 14, in proportion"
        for name in ("long", "short"):
            own = [row.scored for row in rows if domain_of(row.scored.task) == name]
            totals = [each.total for each in own if each.total is not None]
            assert sampled.metrics[f"domain/{name}/total"] == pytest.approx(sum(totals) / len(own))
            assert f"metric/{name}/accuracy" in sampled.metrics
        metrics = {(pair.metric, pair.tasks) for pair in store.comparisons()}
        assert {("correct", 8), ("domain/long/correct", 3), ("domain/short/total", 5)} <= metrics
    assert "rl t=1 - sft t=1, short" in out
    assert "Domains `long` (arithmetic), `short` (arithmetic)" in (path / "card.md").read_text()
    page = (path / "report.html").read_text()
    assert "By domain" in page
    assert "domain/short/tokens over steps" in page
    assert manifest.read(path)["domains"] == {"long": "arithmetic", "short": "arithmetic"}
    assert json.loads((path / "manifest.json").read_text())["data"]["train"]["tasks"] == 50


def test_the_plan_says_what_is_drawn(tmp_path: Path) -> None:
    code, out, err = run(tmp_path, "--dry-run")
    assert code == 0, err
    assert "75% of the tasks drawn: arithmetic numbers=3 largest=9" in out
    code, _, err = run(tmp_path, "stages.rl.prompts=48")
    assert code == 2
    assert "domains.long.weight: up to 36 of the 48 prompts of a step are of this domain, which has 30" in err


@pytest.mark.slow
def test_two_processes_give_what_one_gives(one: tuple[Path, str], tmp_path: Path) -> None:
    code, _, err = run(tmp_path, count=2)
    assert code == 0, err
    two = tmp_path / "runs/mixed"
    for stage in ("sft", "rl"):
        ours, theirs = (load_file(each / "stages" / stage / "policy/model.safetensors") for each in (two, one[0]))
        assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) < 1e-5
    with (
        Store(two / "run.sqlite", readonly=True) as ours_store,
        Store(one[0] / "run.sqlite", readonly=True) as their_store,
    ):
        for step, numbers in their_store.metrics("rl").items():
            wanted = {name: value for name, value in numbers.items() if name.startswith(("domain/", "rewards/"))}
            found = ours_store.metrics("rl")[step]
            assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-6, nan_ok=True)
        texts = [[row.scored.completion.text for row in store.rollouts()] for store in (ours_store, their_store)]
        assert texts[0] == texts[1]
        assert [dict(each.metrics) for each in ours_store.evaluations()] == [
            dict(each.metrics) for each in their_store.evaluations()
        ]


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(one: tuple[Path, str], tmp_path: Path) -> None:
    process = start(tmp_path)
    path = tmp_path / "runs/mixed"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, finish(process)
        try:
            with Store(path / "run.sqlite", readonly=True) as reader:
                if any(step >= 3 for step in reader.steps("rl")):
                    break
        except RunError:
            pass
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    code, _, err = run(tmp_path, "--resume", "domains.long.weight=2")
    assert code == 2
    assert "domains.long.weight: 3.0 there, 2.0 now" in err
    code, _, err = run(tmp_path, "--resume")
    assert code == 0, err
    ours, theirs = (load_file(each / "stages/rl/policy/model.safetensors") for each in (path, one[0]))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
