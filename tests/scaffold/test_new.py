"""New plugins and rewards: what they are called, where they go, and that they work as generated."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from honewise.cli import new
from honewise.errors import UserError
from honewise.host import PluginHost
from honewise.scaffold import new_domain, new_reward
from honewise.scaffold.names import domain_name, reward_name


def run(*command: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HONEWISE_"))}
    environ["PYTHONPATH"] = str(path) if path else ""
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environ, capture_output=True, text=True)


def install(plugin: Path, target: Path) -> Path:
    """The plugin's wheel, unpacked into ``target``; nothing is fetched."""
    wheels = target.parent / f"{target.name}-wheels"
    built = run(
        "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(plugin), cwd=plugin
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = wheels.glob("*.whl")
    put = run("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(target), str(wheel), cwd=plugin)
    assert put.returncode == 0, put.stderr
    return target


def test_a_new_domain_passes_its_own_tests_from_its_wheel(tmp_path: Path) -> None:
    created = new_domain("chess-problems", tmp_path)
    plugin = tmp_path / "chess-problems"
    assert {path.relative_to(plugin).as_posix() for path in created.files} >= {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "src/honewise_chess_problems/__init__.py",
        "src/honewise_chess_problems/judges/clear.md",
        "src/honewise_chess_problems/recipes/quickstart.yaml",
        "src/honewise_chess_problems/samples.jsonl",
        "tests/test_contract.py",
    }
    new_reward("readable", plugin)
    site = install(plugin, tmp_path / "site")
    assert (site / "honewise_chess_problems" / "readable.py").is_file()
    tests = run("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=plugin, path=site)
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert "9 passed" in tests.stdout
    for command in (["doctor", "chess-problems"], ["run", "chess-problems/quickstart", "--dry-run"]):
        done = run("-m", "honewise", *command, cwd=tmp_path, path=site)
        assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_of_the_templates_is_left_over(tmp_path: Path) -> None:
    for path in new_domain("chess", tmp_path).files:
        assert "@@" not in path.read_text(encoding="utf-8"), path
        assert "@@" not in str(path)
        assert path.suffix != ".tmpl"
    prompt = tmp_path / "chess/src/honewise_chess/prompts/ask.md"
    assert "{{question}}" in prompt.read_text()


def test_the_generated_project_asks_for_this_minor_release(tmp_path: Path) -> None:
    new_domain("chess", tmp_path)
    project = tomllib.loads((tmp_path / "chess/pyproject.toml").read_text())["project"]
    assert project["name"] == "honewise-chess"
    assert project["dependencies"] == ["honewise>=0.1,<0.2"]
    assert project["entry-points"]["honewise"] == {"chess": "honewise_chess"}


@pytest.mark.slow
def test_generated_code_is_in_the_house_style(tmp_path: Path) -> None:
    new_domain("chess", tmp_path)
    new_reward("readable", tmp_path)
    rules = ["--isolated", "--line-length", "120"]
    for command in (["check", "--select", "E,F,I,B,UP,RUF", *rules], ["format", "--check", *rules]):
        for folder in (tmp_path / "chess", tmp_path):
            files = sorted(str(path) for path in (folder.rglob if folder != tmp_path else folder.glob)("*.py"))
            done = run("-m", "ruff", *command, *files, cwd=folder)
            assert done.returncode == 0, done.stdout
    types = run(
        "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / ".mypy"), "chess/src", "readable.py", cwd=tmp_path
    )
    assert types.returncode == 0, types.stdout


def test_beside_other_plugins_it_says_where_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "requirements-dev.txt").touch()
    first, *_ = new_domain("chess", tmp_path / "plugins").next
    assert first == f"add to {tmp_path}/plugins/requirements-dev.txt:  -e ./plugins/chess"


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "chess").mkdir()
    (tmp_path / "chess" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already; nothing was written"):
        new_domain("chess", tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["chess", "mine.txt"]


def test_a_failure_on_the_way_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("honewise.scaffold.write.os.rename", full)
    with pytest.raises(UserError, match="cannot be written: No space left on device"):
        new_domain("chess", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no folder"):
        new_domain("chess", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["chess", "text-to-code", "a", "x2", "class", "go-19x19"])
def test_names_that_will_do(name: str) -> None:
    assert domain_name(name, PluginHost(environ={}, entry_points=[])) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Chess", "try 'chess'"),
        ("chess_problems", "try 'chess-problems'"),
        ("chess problems", "try 'chess-problems'"),
        ("chess--problems", "try 'chess-problems'"),
        ("-chess", "try 'chess'"),
        ("2048", "begins with a letter"),
        ("échecs", "'é', which is not ASCII: .*try 'echecs'"),
        ("شطرنج", "which is not ASCII"),
        ("ｃhess", "'ｃ', which is not ASCII: .*try 'chess'"),
        ("", "lower-case letters"),
        ("chess\n", "try 'chess'"),
        ("../chess", "a variant is registered by"),
        ("chess/blitz", "a variant is registered by its domain's plugin, beside 'chess'"),
        ("honewise-chess", "leave 'honewise' out.*try 'chess'"),
        ("honewise", "leave 'honewise' out"),
        ("a" * 51, "has 51 characters"),
        ("arithmetic", r"installed already, by plugin arithmetic \(honewise"),
    ],
)
def test_names_that_will_not_do(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        new_domain(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("No_Hedging", "try 'no_hedging'"),
        ("no-hedging", "try 'no_hedging'"),
        ("lambda", "word of the Python language; try 'lambda_reward'"),
        ("match", "word of the Python language"),
        ("test_it", "taken for a test; try 'it'"),
        ("json", "would hide Python's own module 'json'; try 'json_reward'"),
        ("naïve", "'ï', which is not ASCII: .*try 'naive'"),
        ("٣", "which is not ASCII"),
        ("_hidden", "try 'hidden'"),
        ("a.b", "try 'a_b'"),
    ],
)
def test_reward_names_that_will_not_do(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=said):
        new_reward(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_inside_a_package_a_reward_may_be_called_like_a_module_of_python() -> None:
    assert reward_name("json", alone=False) == "json"


def test_a_new_reward_passes_its_test_and_is_found_by_file_and_name(tmp_path: Path) -> None:
    created = new_reward("readable", tmp_path)
    assert [path.name for path in created.files] == ["readable.py", "test_readable.py"]
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path)
    assert tests.returncode == 0, tests.stdout
    from honewise.scoring.functions import from_file

    assert from_file("readable", f"{tmp_path}/readable.py:readable").bounds == (0.0, 1.0)


def test_a_reward_that_could_not_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no domain 'arithmetik'; did you mean 'arithmetic'"):
        new_reward("readable", tmp_path, domain="arithmetik")
    with pytest.raises(UserError, match="domain 'arithmetic' has a reward 'correct' already"):
        new_reward("correct", tmp_path)
    with pytest.raises(UserError, match="'length' is a reward of honewise's own"):
        new_reward("length", tmp_path)
    assert list(tmp_path.iterdir()) == []
    new_domain("chess", tmp_path)
    with pytest.raises(UserError, match="'length' is a reward of honewise's own"):
        new_reward("length", tmp_path / "chess")
    sys.path.insert(0, str(tmp_path / "chess" / "src"))
    try:
        host = PluginHost(environ={})
        host.register(importlib.import_module("honewise_chess"), "chess")
        taken = host.domain("chess").rewards[0].name
        with pytest.raises(UserError, match=f"domain 'chess' has a reward {taken!r} already"):
            new_reward(taken, tmp_path / "chess", host=host)
    finally:
        sys.path.remove(str(tmp_path / "chess" / "src"))
        sys.modules.pop("honewise_chess", None)


def test_neither_file_of_a_reward_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_readable.py").write_text("mine")
    with pytest.raises(UserError, match=r"test_readable\.py exists already"):
        new_reward("readable", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["test_readable.py"]


def test_a_broken_project_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project\n")
    with pytest.raises(UserError, match=r"pyproject\.toml cannot be read"):
        new_reward("readable", tmp_path)


def test_beside_another_project_a_reward_stands_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert new_reward("readable", tmp_path).files[0] == tmp_path / "readable.py"


def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.callback()(lambda: None)
    new.attach(app)
    shown = CliRunner().invoke(app, ["new", "domain", "chess"])
    assert shown.exit_code == 0, shown.output
    assert "chess/pyproject.toml" in shown.output
    assert 'pip install -e "./chess[test]"\n  honewise doctor chess\n  pytest "./chess"' in shown.output
    shown = CliRunner().invoke(app, ["new", "reward", "brief", "--into", "chess"])
    assert "chess/src/honewise_chess/brief.py" in shown.output
    assert "honewise doctor chess" in shown.output
    shown = CliRunner().invoke(app, ["new", "reward", "brief", "--domain", "nosuch"])
    assert isinstance(shown.exception, UserError)
    pytest.importorskip("honewise_text_to_sql")
    shown = CliRunner().invoke(app, ["new", "reward", "brief", "--domain", "text-to-sql"])
    assert "fn: brief.py:brief" in shown.output
    assert 'DOMAIN = "text-to-sql"' in Path("test_brief.py").read_text()
