"""Tests in an interpreter of their own: the program under test is elsewhere, and can neither see nor touch them."""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import CodeType
from typing import Any

from .peer import Gone, Peer
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
    missing = _missing(request["tests"], names)
    names |= {name: importlib.import_module(name) for name in sorted(missing & sys.stdlib_module_names)}
    say("ready")  # from here on the program has a part in what comes
    wanted = [entry] if entry else _defined(peer, sorted(missing - names.keys()))
    names |= {name: _proxy(peer, name) for name in wanted}
    for index, code in enumerate(codes):
        result = run_code(code, dict(names))
        if peer.gone:
            result = Found("crashed", "the program ended before the test did")
        say("test", index, *result)


def _defined(peer: Peer, names: list[str]) -> list[str]:
    """Of ``names``, those that the program says it defines."""
    try:
        theirs = peer.ask("names", names) if names else []
    except Gone:
        return []
    return [name for name in names if isinstance(theirs, list) and name in theirs]


def _proxy(peer: Peer, name: str) -> Callable[..., Any]:
    def function(*arguments: Any, **keywords: Any) -> Any:
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
