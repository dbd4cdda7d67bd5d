"""Does code evaluate what a model wrote? A name that stands in a completion alone must never be compiled and run."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

__all__ = ["CANARIES", "TOKEN", "evaluations", "evaluators"]

TOKEN = "honewise_canary_7319"
CANARIES = (
    TOKEN,
    f"'{TOKEN}'",
    f"[{TOKEN}]",
    f"{TOKEN} = 1",
    f"print('{TOKEN}')",
    f"(lambda: {TOKEN})()",
    f"{TOKEN} + 1",
)
"""Texts that are code; nothing happens where they run, but for a name that does not exist."""

_RUNS = ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "pickle.find_class")
_caught: list[str] | None = None
_installed = False


@contextmanager
def evaluations() -> Iterator[list[str]]:
    """Collects, within, how code with the token in it was run in this process: the interpreter itself tells of it.

    ``ast.literal_eval`` and parsers do not run what they read and are not caught.
    """
    global _caught, _installed
    if not _installed:
        sys.addaudithook(_hear)  # for good: the interpreter has no way to take it back
        _installed = True
    before, _caught = _caught, []
    try:
        yield _caught
    finally:
        _caught = before


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _caught is None:
        return
    if event == "exec" and arguments and isinstance(arguments[0], CodeType) and _holds(arguments[0]):
        _caught.append("evaluates it as Python (eval or exec)")
    elif event in _RUNS and TOKEN in str(arguments):
        _caught.append(f"hands it to {event}")


def _holds(code: CodeType) -> bool:
    names = (*code.co_names, *code.co_varnames)
    if any(TOKEN in name for name in names):
        return True
    return any(_holds(each) if isinstance(each, CodeType) else TOKEN in str(each) for each in code.co_consts)


def evaluators(function: Callable[..., Any]) -> list[str]:
    """Which of ``eval`` and ``exec`` the function's source calls, itself or through functions of its module."""
    found: dict[str, None] = {}
    todo, seen = [inspect.unwrap(function)], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        module = sys.modules.get(getattr(each, "__module__", "") or "")
        for node in ast.walk(_tree(each)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("eval", "exec"):
                found[node.func.id] = None
            elif isinstance(node, ast.Name) and module is not None:
                other = vars(module).get(node.id)
                if inspect.isfunction(other) and other.__module__ == module.__name__:
                    todo.append(other)
    return list(found)


def _tree(function: Callable[..., Any]) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ast.Module([], [])
