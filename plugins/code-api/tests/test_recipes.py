"""The recipes of the plugin are those of the examples, and can be run."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

RECIPES = ["quickstart", "grpo", "tests-grpo"]
EXAMPLES = Path(__file__).parents[3] / "examples" / "code-api"


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_an_example_and_its_plan_holds(name: str, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    text = files("honewise_code_api").joinpath(f"recipes/{name}.yaml").read_bytes()
    assert (EXAMPLES / f"{name}.yaml").read_bytes() == text
    command = [sys.executable, "-m", "honewise", "run", f"code-api/{name}", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "evaluate" in done.stdout


def test_no_recipe_is_forgotten() -> None:
    assert sorted(path.stem for path in EXAMPLES.glob("*.yaml")) == sorted(RECIPES)
