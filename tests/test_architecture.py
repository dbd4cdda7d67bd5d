"""The house holds: imports go downwards only, heavy packages stay in their rooms, files stay readable.

Every file is parsed, and an import counts wherever it stands: at the top, inside a function, under TYPE_CHECKING.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "honewise"
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/src/*/__init__.py"))

FLOORS = (
    {"errors", "contracts", "registry", "progress"},
    {"hookspecs", "host", "templates", "recipes"},
    {"data", "rewards", "sandbox", "metrics", "clients", "algorithms"},
    {"judges", "scoring"},
    {"runs", "models", "checks"},
    {"engine"},
    {"stages"},
    {"api", "cli", "report", "testing", "scaffold", "builtin"},
)
FACES = {"__init__", "__main__"}
"""The package itself and ``python -m honewise``: they show what the rooms hold."""
NEIGHBOURS = {
    "registry": {"errors"},
    "host": {"hookspecs"},
    "api": {"report"},
    "cli": {"api", "report", "scaffold", "testing"},
}
"""The few imports within one floor: two that a thing is made of, and the two faces, which end a run with its report."""

STANDARD = set(sys.stdlib_module_names)
GROUND_FLOOR = FLOORS[0]
TORCH = {"torch", "transformers", "trl", "peft", "accelerate", "safetensors", "tokenizers", "bitsandbytes", "deepspeed"}
TORCH_ROOMS = {"algorithms", "models", "engine", "stages"}
ONLY_IN = {
    "trl": {"engine"},
    "evaluate": {"metrics"},
    "jinja2": {"report", "scaffold"},
    "typer": {"cli"},
    "openai": {"clients"},
}
EXEC_IN = CORE / "sandbox" / "python" / "running.py"
"""The one file that runs a program: it is reached in a process that has confined itself, and nowhere else."""
LINES, BODY_LINES = 400, 50


class Import(NamedTuple):
    """``module`` is absolute; ``names`` is what is taken from it."""

    module: str
    names: tuple[str, ...]
    where: str


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of statements: a long signature and a docstring are no burden."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def imports_of(path: Path, package: str) -> Iterator[Import]:
    """Every import of the file at ``path``, whose package is ``package`` (dotted)."""
    for node in nodes_of(path):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, (), where)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield Import(module, tuple(alias.name for alias in node.names), where)


def files(root: Path, package: str) -> list[tuple[Path, str]]:
    """Every module below ``root`` with the dotted name of its package."""
    found = []
    for path in sorted(root.rglob("*.py")):
        inner = path.relative_to(root).parent.parts
        if "templates" not in inner:  # text that a scaffold writes, not code of this package
            found.append((path, ".".join([package, *inner])))
    return found


CORE_FILES = files(CORE, "honewise")
PLUGIN_FILES = [entry for plugin in PLUGINS for entry in files(plugin, plugin.name)]


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    for number, rooms in enumerate(FLOORS):
        if room in rooms:
            return number
    raise AssertionError(f"room {room!r} stands on no floor; add it to FLOORS and to core/docs/architecture.md")


def rooms_named(imported: Import) -> set[str]:
    """The rooms that one import of ``honewise`` reaches; a public name of the face stands for the ground floor."""
    if imported.module == "honewise":
        known = {room for rooms in FLOORS for room in rooms}
        return {name for name in imported.names if name in known}
    return {imported.module.split(".")[1]} if imported.module.startswith("honewise.") else set()


def test_every_room_stands_on_a_floor() -> None:
    for path, _ in CORE_FILES:
        if room_of(path) not in FACES:
            floor_of(room_of(path))


@pytest.mark.parametrize(("path", "package"), CORE_FILES, ids=lambda value: str(value).removeprefix(f"{CORE}/"))
def test_imports_go_downwards(path: Path, package: str) -> None:
    room = room_of(path)
    if room in FACES:
        return
    wrong = [
        f"{imported.where}: {room} (floor {floor_of(room)}) imports {other} (floor {floor_of(other)})"
        for imported in imports_of(path, package)
        for other in rooms_named(imported) - {room}
        if floor_of(other) >= floor_of(room) and other not in NEIGHBOURS.get(room, ())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("path", "package"), CORE_FILES, ids=lambda value: str(value).removeprefix(f"{CORE}/"))
def test_heavy_packages_stay_in_their_rooms(path: Path, package: str) -> None:
    room = room_of(path)
    wrong = []
    for imported in imports_of(path, package):
        top = imported.module.split(".")[0]
        if top in TORCH and room not in TORCH_ROOMS:
            wrong.append(f"{imported.where}: {top} belongs in {', '.join(sorted(TORCH_ROOMS))}")
        if top in ONLY_IN and room not in ONLY_IN[top]:
            wrong.append(f"{imported.where}: {top} belongs in {', '.join(sorted(ONLY_IN[top]))}")
        if room in GROUND_FLOOR and top not in STANDARD | {"honewise"}:
            wrong.append(f"{imported.where}: the ground floor needs the standard library only, not {top}")
        if top.startswith("honewise_"):
            wrong.append(f"{imported.where}: core never imports a plugin")
        if top in {"pickle", "shelve", "dill", "cloudpickle"}:
            wrong.append(f"{imported.where}: {top} runs what it reads")
    assert not wrong, "\n".join(wrong)


def test_algorithms_know_the_ground_floor_only() -> None:
    wrong = [
        f"{imported.where}: {room}"
        for path, package in CORE_FILES
        if room_of(path) == "algorithms"
        for imported in imports_of(path, package)
        for room in rooms_named(imported) - {"algorithms"}
        if room not in GROUND_FLOOR
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("path", "package"), PLUGIN_FILES, ids=lambda value: str(value).removeprefix(f"{ROOT}/plugins/")
)
def test_plugins_use_public_names_only(path: Path, package: str) -> None:
    own = package.split(".")[0]
    wrong = []
    for imported in imports_of(path, package):
        parts = imported.module.split(".")
        if parts[0] == "honewise":
            private = [part for part in (*parts[1:], *imported.names) if part.startswith("_")]
            if private or (len(parts) > 1 and parts[1] in {"engine", "testing", "cli", "stages"}):
                wrong.append(f"{imported.where}: {imported.module} {' '.join(imported.names)}")
            if parts == ["honewise"] and "engine" in imported.names:
                wrong.append(f"{imported.where}: engine")
        elif parts[0].startswith("honewise_") and parts[0] != own:
            wrong.append(f"{imported.where}: {parts[0]} is another plugin")
    assert not wrong, "\n".join(wrong)


BUILTIN_FILES = [(path, package) for path, package in CORE_FILES if room_of(path) == "builtin"]


@pytest.mark.parametrize(("path", "package"), BUILTIN_FILES, ids=lambda value: str(value).removeprefix(f"{CORE}/"))
def test_builtin_obeys_the_rules_of_plugins(path: Path, package: str) -> None:
    wrong = [
        imported.where
        for imported in imports_of(path, package)
        if imported.module.startswith(("honewise.engine", "honewise.cli", "honewise.testing"))
        or (imported.module.startswith("honewise") and any(name.startswith("_") for name in imported.names))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "path", [path for path, _ in CORE_FILES + PLUGIN_FILES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_files_and_functions_stay_readable(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LINES, f"{path} has more than {LINES} lines"
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines"
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (length := body_lines(node)) > BODY_LINES
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize(
    "path", [path for path, _ in CORE_FILES + PLUGIN_FILES], ids=lambda path: str(path.relative_to(ROOT))
)
def test_nothing_evaluates_text(path: Path) -> None:
    wrong = []
    for node in nodes_of(path):
        if not isinstance(node, ast.Call):
            continue
        named = isinstance(node.func, ast.Name) and node.func.id
        if named in {"eval", "exec"} and (path, named) != (EXEC_IN, "exec"):
            wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {named}")
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"unsafe_load", "full_load", "system", "popen"}:
            wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.func.attr}")
        shell = [k for k in node.keywords if k.arg == "shell"]
        if any(not (isinstance(k.value, ast.Constant) and k.value.value is False) for k in shell):
            wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} shell=")
    assert not wrong, "\n".join(wrong)


def test_the_checker_sees_every_kind_of_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from typing import TYPE_CHECKING\n"
        "from ..engine import credit\n"
        "from . import sibling\n"
        "from .. import stages\n"
        "if TYPE_CHECKING:\n    from honewise.runs.store import Store\n"
        "def late():\n    import trl.trainer\n    from honewise import cli, Task\n"
    )
    path = tmp_path / "x.py"
    path.write_text(source)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    seen = list(imports_of(path, "honewise.scoring"))
    assert [i.module for i in seen if i.module != "typing"] == [
        "honewise.engine",
        "honewise.scoring",
        "honewise",
        "honewise.runs.store",
        "trl.trainer",
        "honewise",
    ]
    rooms = set().union(*(rooms_named(i) for i in seen))
    assert rooms == {"engine", "scoring", "stages", "runs", "cli"}
