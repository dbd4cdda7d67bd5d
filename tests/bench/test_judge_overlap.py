"""How much longer a step of ``rl`` takes when a judge answers late, against what could not be hidden at best.

Prints, and asserts no time: ``python -m pytest -m bench tests/bench/test_judge_overlap.py -s``. The endpoint answers
each question after a fixed latency, ``CALLS`` at a time. From a run with an instant judge come the seconds G of
sampling and R of log-probabilities behind it; a step in parts sends part i to be scored at i G / parts, and asks for
scores at G + R. What is then still to be waited for is the least that a step can grow by.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from chat_server import ChatServer
from judge_world import CLEAR, scored

from honewise.stages.runner import run_recipe

pytestmark = pytest.mark.bench

PROMPTS, SAMPLES, CALLS, STEPS = 16, 8, 16, 7
LATENCIES = (0.02, 0.05, 0.1, 0.2)
RECIPE = f"""
honewise: 1
name: overlap
device: cpu
domain: {{use: arithmetic, numbers: 3}}
data: {{held_out: {{limit: 1}}}}
policy: {{tiny: {{layers: 4, width: 192}}}}
rubric: {{rewards: {{clear: {{fn: "clear.py:clear", weight: 0.5}}}}}}
judge: {{url: "URL", model: tiny, cache: false, timeout: 60, deadline: 120, concurrency: {CALLS}}}
stages:
  rl:
    steps: {STEPS}
    prompts: {PROMPTS}
    samples: {SAMPLES}
    chunks: 1
    kl: {{coef: 0.01, where: loss}}
    trainer: {{learning_rate: 1e-6, max_completion_length: 48}}
"""


def step_of(folder: Path, latency: float, chunks: int) -> dict[str, float]:
    """Medians over the steps but the first two, with an endpoint of its own."""
    folder.mkdir()
    (folder / "clear.py").write_text(CLEAR)
    (folder / "clear.md").write_text("Is {{answer}} clear? End with one line, Score: 0 to 10.")
    with ChatServer(scored, service=latency) as server:
        (folder / "overlap.yaml").write_text(RECIPE.replace("URL", server.url))
        where = [f"runs_dir={folder / 'runs'}", f"stages.rl.chunks={chunks}"]
        with run_recipe(folder / "overlap.yaml", where) as run:
            steps = list(run.store.metrics("rl").values())[2:]
    names = ("seconds/step", "seconds/generate", "seconds/logps", "seconds/score", "judge/calls")
    return {name: statistics.median(step[name] for step in steps) for name in names}


def least_wait(latency: float, chunks: int, sampling: float, after: float, calls: int) -> float:
    """Seconds until the last answer, from when scores are asked for, with a judge that is never idle without need."""
    free = [0.0] * CALLS
    for part in range(chunks):
        sent = sampling * (part + 1) / chunks
        for _ in range(calls // chunks):
            soonest = min(range(CALLS), key=free.__getitem__)
            free[soonest] = max(free[soonest], sent) + latency
    return max(0.0, max(free) - sampling - after)


@pytest.mark.parametrize("chunks", [1, 8])
def test_how_much_longer_a_step_takes(chunks: int, tmp_path: Path) -> None:
    instant = step_of(tmp_path / "instant", 0.0, chunks)
    base, sampling, after = (instant[f"seconds/{name}"] for name in ("step", "generate", "logps"))
    print(
        f"\n{chunks} parts, instant judge: {base:.2f} s a step, sampling {sampling:.2f}, log-probabilities {after:.2f}"
    )
    for latency in LATENCIES:
        late = step_of(tmp_path / f"late {latency}", latency, chunks)
        calls = round(late["judge/calls"])
        asking = calls * latency / CALLS
        least = least_wait(latency, chunks, sampling, after, calls)
        grown = late["seconds/step"] - base
        print(
            f"latency {latency:g} s, {calls} questions ({asking:.2f} s of asking): {grown:+.2f} s a step, at best"
            f" {least:+.2f}, allowed {least + 0.1 * base:+.2f}, ratio {grown / (least + 0.1 * base):.2f};"
            f" waited {late['seconds/score']:.2f} s"
        )
