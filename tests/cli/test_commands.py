"""The frame of the command line: help, exit codes, and what reaches which stream."""

from __future__ import annotations

import ast
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from honewise import UserError, cli
from honewise.errors import UnscoredBudgetExceeded

Run = Callable[..., int]


@pytest.fixture
def run() -> Run:
    """Run the command in this process; its exit code."""

    def call(*arguments: str) -> int:
        with pytest.raises(SystemExit) as left:
            cli.main(list(arguments))
        return left.value.code or 0  # type: ignore[return-value]

    return call


def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == "honewise 0.1.0\n"


def test_help_teaches_and_lists_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert "honewise run text-to-sql/quickstart" in shown
    for name in cli.COMMANDS:
        assert f"│ {name} " in shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_explains_itself(name: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"honewise {name}" in " ".join(shown.split()) or name in shown
    assert len(shown.splitlines()) > 8


def test_every_module_of_a_command_is_listed() -> None:
    folder = Path(cli.__file__).parent
    commands = {
        path.stem for path in folder.glob("*.py") if "def attach(" in path.read_text() and not path.stem.startswith("_")
    }
    assert commands == set(cli.COMMANDS)
    for name in commands:
        assert callable(import_module(f"honewise.cli.{name}").attach)


def test_an_unknown_command_or_option_is_the_users_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plugin") == 2
    assert run("plugins", "--jsno") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "plugin" in captured.err


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserError("bad \x1b[31minput"), 2), (UnscoredBudgetExceeded("too much"), 1), (KeyboardInterrupt(), 130)],
)
def test_exit_codes(
    error: BaseException, code: int, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("honewise.cli.plugins.get_host", fail)
    assert run("plugins") == code
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    if isinstance(error, UserError):
        assert captured.err == "error: bad \\x1b[31minput\n"


def test_a_fault_of_our_own_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honewise.cli.plugins.get_host", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["plugins"])


def test_interruption_leaves_with_130() -> None:
    program = textwrap.dedent("""
        import honewise.cli.plugins as plugins, sys, time
        def wait():
            print("ready", file=sys.__stdout__, flush=True)
            time.sleep(60)
        plugins.get_host = wait
        from honewise.cli import main
        main(["plugins"])
    """)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "ready\n"
        p.send_signal(signal.SIGINT)
        _, err = p.communicate(timeout=30)
    assert p.returncode == 130
    assert "Traceback" not in err


def test_results_are_shown_and_everything_else_is_printed() -> None:
    """``print`` in a command goes to standard error: a result that is not shown would be lost to a pipe."""
    for path in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                streams = [ast.unparse(each.value) for each in node.keywords if each.arg == "file"]
                allowed = streams or path.name == "__init__.py"  # the version is shown outside of commands
                assert allowed, f"{path.name}:{node.lineno}"


def test_a_closed_pipe_is_no_fault() -> None:
    command = f"{sys.executable} -m honewise rewards --json | true"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in ended.stderr


def test_domains_and_rewards_of_core(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run("domains", "--json")
    domains = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert domains["arithmetic"]["distribution"] == "honewise"
    assert domains["arithmetic"]["rubrics"]
    assert "numbers" in domains["arithmetic"]["options"]
    run("rewards", "--json")
    rows = json.loads(capsys.readouterr().out)
    anywhere = [row["name"] for row in rows if not row["domain"]]
    assert "length" in anywhere
    correct = next(row for row in rows if (row["domain"], row["name"]) == ("arithmetic", "correct"))
    assert correct["bounds"] == [0.0, 1.0]
    assert all(weight > 0 for weight in correct["presets"].values())


def test_rewards_of_an_unknown_domain(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rewards", "--domain", "arithmetik") == 2
    assert capsys.readouterr().err == "error: no domain 'arithmetik'; did you mean 'arithmetic'?\n"
