"""A critic that starts from a reward model which the recipe trains, or from the folder of one."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("trl")

from honewise.errors import RecipeError
from honewise.stages.recipe import read
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: critic
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 24}, held_out: {limit: 4}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric: {rewards: {variety: {fn: "mine.py:variety"}}}
stages:
  sft: {steps: 3, demonstrations: 8, batch: 4, trainer: {learning_rate: 5e-3}}
  pairs: {samples: 4, max_new_tokens: 12, limit: 8}
  taste: {stage: reward-model, steps: 4, batch: 4, trainer: {learning_rate: 1e-2}}
  rl: {from: sft, algorithm: ppo, steps: 1, prompts: 2, samples: 2, critic: {kind: trunk, init: INIT},
    trainer: {max_completion_length: 12}}
"""


def recipe(folder: Path, init: str) -> Path:
    (folder / "mine.py").write_text("def variety(completion): return min(1.0, len(set(completion.text)) / 32)\n")
    path = folder / "critic.yaml"
    path.write_text(RECIPE.replace("INIT", init) + f"runs_dir: {folder / 'runs'}\n")
    return path


@pytest.mark.slow
def test_it_says_what_the_reward_model_says(tmp_path: Path) -> None:
    with run_recipe(recipe(tmp_path, "taste")) as run:
        numbers = run.store.metrics("rl")[1]
        model = run.stage_folder("taste") / "model"
    assert abs(numbers["critic/value"]) > 1e-4, "a critic that has learnt nothing says 0"
    with run_recipe(recipe(tmp_path, str(model)), ["name=again"]) as run:
        assert run.store.metrics("rl")[1]["critic/value"] == numbers["critic/value"]
    with run_recipe(recipe(tmp_path, "policy"), ["name=plain", "stages.rl.critic.scaled=false"]) as run:
        assert run.store.metrics("rl")[1]["critic/value"] == 0.0


@pytest.mark.parametrize(
    ("init", "said"), [("tast", "did you mean 'taste'?"), ("pairs", "no such earlier stage or folder: 'pairs'")]
)
def test_it_must_be_there(init: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        read(recipe(tmp_path, init))
    (problem,) = caught.value.problems
    assert problem.path == "stages.rl.critic.init"
    assert said in problem.message
