"""Listing, scoring and importing stay light: no torch, and nothing that brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "transformers",
    "trl",
    "evaluate",
    "datasets",
    "accelerate",
    "peft",
    "numpy",
    "pandas",
    "openai",
    "jinja2",
)


def imported_by(code: str) -> set[str]:
    """The heavy packages in ``sys.modules`` after ``code`` ran in a fresh interpreter, also by ``sys.exit``."""
    program = (
        "import sys\n"
        f"try:\n    {code}\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        f"print('HEAVY', *[name for name in {HEAVY!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split()[1:])


def command(*arguments: str) -> str:
    return f"from honewise.cli import main; main({list(arguments)!r})"


def test_import_is_light() -> None:
    assert imported_by("import honewise, honewise.host, honewise.templates") == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("--help",),
        ("plugins",),
        ("plugins", "--json"),
        ("domains", "--json"),
        ("rewards", "--json"),
        ("score", "--help"),
        ("judge", "cache"),
        ("run", "--help"),
    ],
    ids=" ".join,
)
def test_commands_are_light(arguments: tuple[str, ...]) -> None:
    assert imported_by(command(*arguments)) == set()


def test_the_check_can_fail() -> None:
    assert "jinja2" in imported_by("import jinja2")
