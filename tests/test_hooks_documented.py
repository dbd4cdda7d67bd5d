"""No hook without its signature in the documentation, an example that works, and a test."""

from __future__ import annotations

import importlib.util
import inspect
import re
import textwrap
from pathlib import Path

import pluggy
import pytest

from honewise import hookspecs
from honewise.host import PluginHost

ROOT = Path(__file__).parents[1]


def specified() -> dict[str, list[str]]:
    """Each hook with its arguments, as pluggy sees them."""
    manager = pluggy.PluginManager("honewise")
    manager.add_hookspecs(hookspecs)
    specs = {name: getattr(manager.hook, name).spec for name in dir(manager.hook) if not name.startswith("_")}
    return {name: list(spec.argnames) for name, spec in specs.items() if spec is not None}


HOOKS = specified()


def test_the_list_of_hooks_is_complete() -> None:
    assert set(HOOKS) == set(hookspecs.HOOKS)
    assert len(hookspecs.HOOKS) == len(set(hookspecs.HOOKS)) == 5


@pytest.mark.parametrize("hook", HOOKS)
def test_the_signature_stands_in_the_documentation(hook: str) -> None:
    page = (ROOT / "core/docs/plugins.md").read_text(encoding="utf-8")
    assert f"{hook}({', '.join(HOOKS[hook])})" in page


def test_the_changelog_lists_each_hook_and_says_each_thing_in_a_sentence() -> None:
    text = (ROOT / "core/CHANGELOG.md").read_text(encoding="utf-8")
    entries = [line.removeprefix("- ") for line in text.splitlines() if line.startswith("- ")]
    api = text.partition("### Plugin API\n")[2]
    assert all(f"`{hook}({', '.join(HOOKS[hook])})`" in api for hook in HOOKS)
    assert len(entries) > len(HOOKS)
    assert not [entry for entry in entries if len(entry.split()) > 25 or not entry.endswith(".")]


@pytest.mark.parametrize("hook", HOOKS)
def test_the_hook_has_a_test(hook: str) -> None:
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    assert re.search(rf"^def test_hook_{hook}\(", tests, re.MULTILINE)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_in_the_docstring_registers(hook: str, honewise_host: PluginHost, tmp_path: Path) -> None:
    words = inspect.getdoc(getattr(hookspecs, hook)) or ""
    source = textwrap.dedent(words.split("Smallest plugin::", 1)[1])
    # Stand-ins for the two modules that the examples leave to the reader.
    source = source.replace("from .domain import glossary", "glossary = dict")
    source = source.replace(
        "from .estimators import mine", "from types import SimpleNamespace; mine = SimpleNamespace(name='m')"
    )
    (tmp_path / "example.py").write_text(source)
    spec = importlib.util.spec_from_file_location("example", tmp_path / "example.py")
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    record = honewise_host.register(plugin, "glossary")
    honewise_host.load_estimators("glossary")
    assert (record.state, record.reason) == ("loaded", "")
    kind = hook.removeprefix("register_").removesuffix("s")
    assert len([name for name in honewise_host.registries[kind] if name.startswith("glossary")]) == 1
