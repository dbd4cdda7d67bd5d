"""What ``honewise`` offers is deliberate: sorted, complete, importable, documented."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import honewise
from honewise import contracts, errors

PACKAGE = Path(honewise.__file__).parent


def test_all_is_sorted_and_holds_no_private_name() -> None:
    assert honewise.__all__ == sorted(honewise.__all__)
    assert not [name for name in honewise.__all__ if name.startswith("_")]


@pytest.mark.parametrize("name", honewise.__all__)
def test_every_name_is_there_and_says_what_it_is(name: str) -> None:
    thing = getattr(honewise, name)
    if name not in {"Message", "Metric"}:  # aliases of types carry their words beside them
        assert (inspect.getdoc(thing) or "").strip()


def test_all_is_complete() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert {name for name in imported if not name.startswith("_")} - {"api"} == set(honewise.__all__)
    assert set(contracts.__all__) <= set(honewise.__all__)


@pytest.mark.parametrize("module", [contracts, errors], ids=lambda module: module.__name__)
def test_modules_of_the_ground_floor_list_what_they_define(module: object) -> None:
    listed = module.__all__  # type: ignore[attr-defined]
    assert list(listed) == sorted(listed)
    defined = {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__  # type: ignore[attr-defined]
    }
    assert defined <= set(listed)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'honewise' has no attribute 'nope'"):
        honewise.nope  # noqa: B018
    assert not hasattr(honewise, "_nope")


def test_star_import_works() -> None:
    code = "from honewise import *; print(Task('0', {}).id, callable(load_domain), callable(run))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "0 True True\n"
