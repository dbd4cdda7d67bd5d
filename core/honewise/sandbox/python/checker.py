"""Tests in an interpreter of their own: the program under test is elsewhere, and can neither see nor touch them."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType
from typing import Any

from .peer import Peer
from .running import Found, parsed, run_code

__all__ = ["check"]


def check(request: Mapping[str, Any], peer: Peer, say: Callable[..., None]) -> None:
    """Say of each test what came of it, or once that the tests themselves are broken."""
    names: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    setup = parsed(request["setup"], "<setup>")
    found = setup if isinstance(setup, Found) else run_code(setup, names)
    if found.kind != "ok":
        say("broken", f"what stands before the tests: {found.error}")
        return
    codes: list[CodeType] = []
    for index, test in enumerate(request["tests"]):
        code = parsed(test, f"<test {index}>")
        if isinstance(code, Found):
            say("broken", f"test {index}: {code.error}")
            return
        codes.append(code)
    entry = request["entry_point"]
    names |= _of_the_program(peer, request["tests"], names, entry)
    for index, code in enumerate(codes):
        peer.by_objects = False
        result = run_code(code, dict(names))
        if peer.gone:
            result = Found("crashed", "the program ended before the test did")
        say("test", index, *result, peer.by_objects)


def _of_the_program(peer: Peer, tests: Sequence[str], names: Mapping[str, Any], entry: str | None) -> dict[str, Any]:
    """What the tests need and have not: modules of the standard library, and functions of the program."""
    missing = _missing(tests, names)
    found: dict[str, Any] = {}
    for name in sorted(missing & sys.stdlib_module_names):
        found[name] = importlib.import_module(name)
    wanted = sorted(missing - found.keys())
    theirs = peer.ask("names", wanted) if wanted else []
    for name in {*(str(each) for each in theirs if each in wanted), *([entry] if entry else [])}:
        found[name] = _proxy(peer, name, by_objects=entry not in (None, name))
    return found


def _proxy(peer: Peer, name: str, *, by_objects: bool) -> Callable[..., Any]:
    def function(*arguments: Any, **keywords: Any) -> Any:
        peer.by_objects |= by_objects
        return peer.call(name, arguments, keywords)

    function.__name__ = function.__qualname__ = name
    return function


def _missing(tests: Iterable[str], names: Mapping[str, Any]) -> set[str]:
    """Names that the tests read and neither set, nor have from what stands before them, nor from Python."""
    read, made = set[str](), {*names, *vars(builtins)}
    for test in tests:
        for node in ast.walk(ast.parse(test)):
            if isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else made).add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                made.add(node.name)
            elif isinstance(node, ast.arg):
                made.add(node.arg)
            elif isinstance(node, ast.alias):
                made.add((node.asname or node.name).split(".")[0])
    return read - made
