"""Wherever the KL stands, and whatever is trained: at the first step of an ``rl`` after ``sft`` it is 0."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: kl
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 24}, held_out: {limit: 4}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}LORA}
rubric: {rewards: {vowels: {fn: "vowels.py:vowels", weight: 1}}}
stages:
  sft: {steps: 3, demonstrations: 8, batch: 4, trainer: {learning_rate: 1e-2}}
  trl: {stage: rl, from: sft, steps: 2, prompts: 2, samples: 2,
    trainer: {beta: 0.1, learning_rate: 1e-2, max_completion_length: 8}}
  loss: {stage: rl, from: sft, steps: 2, prompts: 2, samples: 2, kl: {coef: 0.1, where: loss},
    trainer: {learning_rate: 1e-2, max_completion_length: 8}}
  reward: {stage: rl, from: sft, algorithm: rloo, steps: 2, prompts: 2, samples: 2, kl: {coef: 0.1},
    trainer: {learning_rate: 1e-2, max_completion_length: 8}}
  ppo: {stage: rl, from: sft, algorithm: ppo, steps: 2, prompts: 2, samples: 2,
    kl: {coef: 0.1, controller: adaptive, target: 1.0, unit: sequence},
    trainer: {learning_rate: 1e-2, max_completion_length: 8}}
"""

VOWELS = """
from honewise import Completion, reward


@reward
def vowels(completion: Completion) -> float:
    return sum(each in "aeiou" for each in completion.text) / (1 + len(completion.text))
"""
"""A reward that differs among the completions of a policy that has learnt nothing, so that it moves."""


FULL = pytest.param("", id="full", marks=pytest.mark.slow)


@pytest.mark.parametrize("lora", [FULL, pytest.param(", lora: {r: 4, alpha: 8}", id="lora")])
def test_the_kl_is_0_at_the_first_step(lora: str, tmp_path: Path) -> None:
    (tmp_path / "vowels.py").write_text(VOWELS)
    path = tmp_path / "kl.yaml"
    path.write_text(RECIPE.replace("LORA", lora) + f"runs_dir: {tmp_path / 'runs'}\n")
    with run_recipe(path) as run:
        for stage, name in (("trl", "kl"), ("loss", "kl/token"), ("reward", "kl/sequence"), ("ppo", "kl/sequence")):
            numbers = run.store.metrics(stage)
            assert numbers[1][name] == pytest.approx(0, abs=1e-6), stage
            assert abs(numbers[2][name]) > 1e-4, f"{stage}: the policy has moved, and so the KL"
