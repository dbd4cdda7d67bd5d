"""The README tells the truth: its code runs as it stands, its links lead somewhere, its commands are complete."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tables
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.S | re.M)
BLOCKS = [match.groupdict() for match in BLOCK.finditer(TEXT)]
SETUP = [block["code"].strip() for block in BLOCKS if (block["mark"] or "").endswith("-command")]


def _run(command: list[str], folder: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _blocks(language: str) -> list[str]:
    return [b["code"] for b in BLOCKS if b["language"] == language and not (b["mark"] or "").endswith("-command")]


def test_there_are_exactly_two_setup_commands() -> None:
    assert len(SETUP) == 2
    for command in SETUP:
        assert command.count("\n") == 0
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -q -c .ci/constraints.txt ")
        for word in shlex.split(command):
            if word.startswith("./") or word.endswith(".txt"):
                assert (ROOT / word).exists(), word


def test_continuous_integration_calls_the_test_command() -> None:
    extract = "sed -n '/<!-- test-command -->/,/^```$/p' README.md | sed '1,2d;$d'"
    assert extract in (ROOT / ".ci" / "run").read_text()
    assert _run(["bash", "-c", extract], ROOT).strip() == SETUP[1]


def test_constraints_pin_every_requirement_of_the_setup_commands() -> None:
    import environments
    from packaging.utils import canonicalize_name

    lines = (ROOT / ".ci" / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.split("==")[0]) for line in lines if "==" in line}
    needed = set(environments.closure(["honewise[dev]", "honewise-physics", "honewise-text-to-sql"]))
    own = {name for name in needed if name.startswith("honewise")}
    bundled = {"pip", "setuptools"}
    assert needed - own - bundled <= pinned


@pytest.mark.parametrize("code", _blocks("bash"))
def test_shell_blocks_run(code: str, tmp_path: Path) -> None:
    _run(["bash", "-euo", "pipefail", "-c", code], tmp_path)


def test_python_blocks_run(tmp_path: Path) -> None:
    for code in _blocks("python"):
        (tmp_path / "block.py").write_text(code)
        _run([sys.executable, "block.py"], tmp_path)


def test_the_reward_is_as_short_as_promised_and_works_in_a_run(tmp_path: Path) -> None:
    (code,) = [b["code"] for b in BLOCKS if b["mark"] == "file: my_rewards.py"]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15
    (tmp_path / "my_rewards.py").write_text(code)
    (addition,) = _blocks("yaml")
    recipe = yaml.safe_load(_run(["honewise", "recipe", "arithmetic", "quickstart"], tmp_path))
    recipe.setdefault("rubric", {}).setdefault("rewards", {}).update(yaml.safe_load(addition)["rubric"]["rewards"])
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    assert "shows_its_work" in _run(["honewise", "run", "mine.yaml", "--dry-run"], tmp_path)
    small = ("sft.steps=2", "rl.steps=1", "rl.prompts=2", "evaluate.samples=1")
    changes = [f"stages.{each}" for each in small]
    _run(["honewise", "run", "mine.yaml", *changes, "data.held_out.limit=2", "runs_dir=runs"], tmp_path)


@pytest.mark.parametrize("page", tables.pages(), ids=lambda page: page.parent.name)
def test_the_tables_are_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run: python tests/support/tables.py"


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", TEXT)
    assert targets
    for target in targets:
        assert (ROOT / target).exists(), target


def test_every_command_named_exists() -> None:
    listed = _run(["honewise", "--help"], ROOT)
    for name in re.findall(r"(?:`|^|\n|bin/)honewise ([a-z]+)\b", TEXT):
        assert re.search(rf"\b{name}\b", listed), name
