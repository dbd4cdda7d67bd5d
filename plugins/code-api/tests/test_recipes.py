"""The recipes of the plugin are those of the examples, and can be run."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

RECIPES = [
    "quickstart", "grpo", "tests-grpo", "ppo", "dpo", "grpo-multi-gpu", "preferences-dpo", "reward-model",
]  # fmt: skip
EXAMPLES = Path(__file__).parents[3] / "examples" / "code-api"


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_an_example_and_its_plan_holds(name: str, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    from honewise.stages.runner import resolve

    text = files("honewise_code_api").joinpath(f"recipes/{name}.yaml").read_bytes()
    assert (EXAMPLES / f"{name}.yaml").read_bytes() == text
    materials = resolve(f"code-api/{name}", [])
    assert "evaluate" in materials.recipe.stages


def test_no_recipe_is_forgotten() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.yaml")) == sorted(RECIPES)
