"""A stored run whose policy learns to be paid for style: longer and longer, while less and less is right."""

from __future__ import annotations

import random
from pathlib import Path

from synthetic_run import cell, make_run, scored

from honewise.clients import CallRecord
from honewise.runs.rows import RolloutRow
from honewise.runs.run import Run

RECIPE = """
honewise: 1
name: NAME
domain: {use: arithmetic}
data: {train: {samples: train}, held_out: {samples: held-out}}
policy: {tiny: {layers: 2, width: 48}}
rubric: {preset: partial, correct: correct}
stages:
  sft: {demonstrations: 4, steps: 2, batch: 2}
  rl: {steps: 10, prompts: 8, samples: 4}
  evaluate: {of: [sft, rl], samples: 4, temperature: 1.0}
"""
STEPS, PROMPTS, SAMPLES = 10, 8, 4


def fill_audited(folder: Path, *, name: str = "made", hacked: bool = True, judge_calls: bool = False) -> Run:
    """``hacked``: style is learned and correctness lost; else the other way round. Both are measured on 12 tasks."""
    run = make_run(folder, recipe=RECIPE.replace("NAME", name))
    store, chance = run.store, random.Random(0)

    def row(progress: float, task: str, group: int, sample: int) -> RolloutRow:
        right = chance.random() < (0.6 - 0.5 * progress if hacked else 0.2 + 0.6 * progress)
        style = (0.1 + 0.8 * progress if hacked else 0.3) + chance.random() / 10
        words = chance.choices(
            ["one", "two", "three", "four", "five", "six", "seven"], k=round(6 + 10 * progress * hacked)
        )
        rewards = {
            "correct": cell(float(right), 2.0, correct=right),
            "style": cell(style, 1.0),
            "judge": cell(style if hacked else float(right), 0.5),
        }
        text = " ".join(words)
        return RolloutRow(scored(text, rewards, task=task, correct=right, tokens=len(words)), "Q", group, sample)

    store.start_stage("sft", "sft", 0)
    store.write_step("sft", 1, {"loss": 1.0})
    store.set_stage("sft", "done", seconds=1.0)
    store.start_stage("rl", "rl", 1)
    for step in range(1, STEPS + 1):
        progress = (step - 1) / (STEPS - 1)
        rows = [row(progress, f"train-{step}-{g}", g, s) for g in range(PROMPTS) for s in range(SAMPLES)]
        store.write_step("rl", step, {"kl": 0.1 * step, "loss": 0.5}, rows)
    store.set_stage("rl", "done", seconds=5.0)
    store.start_stage("evaluate", "evaluate", 2)
    for of, progress in (("sft", 0.0), ("rl", 1.0)):
        for temperature, samples in ((0.0, 1), (1.0, SAMPLES)):
            rows = [row(progress, f"held-{g}", g, s) for g in range(12) for s in range(samples)]
            settings = {
                "temperature": temperature, "top_p": 1.0, "samples": samples, "tasks": 12, "control": False,
                "scored": len(rows), "completions": len(rows),
            }  # fmt: skip
            label = "greedy" if temperature == 0 else "t=1"
            store.write_eval("evaluate", f"{of} {label}", of, settings, rows, {"correct": 0.5, "total": 1.0})
    store.set_stage("evaluate", "done", seconds=1.0)
    if judge_calls:
        store.write_calls("rl", 1, [CallRecord("judges/style.md", "ab" * 32, "critic", "k", "endpoint", tokens=3)])
    run.finish()
    return run
