"""The recipes that ship are those of the examples, and all of them can be planned."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "plugins/physics/src/honewise_physics/recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_is_the_same_in_the_examples(path: Path) -> None:
    assert path.read_bytes() == (ROOT / "examples/physics" / path.name).read_bytes()


def test_the_recipes_are_those_that_are_promised() -> None:
    promised = {"compare", "dpo", "grpo", "grpo-multi-gpu", "ppo", "quickstart", "remax"}
    assert {path.stem for path in SHIPPED} == promised


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_is_whole(path: Path) -> None:
    pytest.importorskip("trl")
    from honewise.recipes.load import load_recipe

    recipe = load_recipe(path)
    assert recipe.domain.use == "physics"
    assert recipe.stages
