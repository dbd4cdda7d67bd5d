"""What happens in the child once it is confined: it reads what to do, and does it.

Whatever it reports of a program is that program's own word, since the program shares the interpreter with this code
and could have said it by itself. It can claim a result, as it could have computed it; it cannot claim a verdict.
"""

from __future__ import annotations

import atexit
import linecache
import random
import sys
import threading
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from .checker import check
from .codec import TooLarge, pack, unpack
from .frames import read_frame, write_frame
from .peer import Peer
from .running import FILE, FINE, Found, flush, parsed, run_code, trouble

__all__ = ["work"]

_LARGEST_REQUEST = 1 << 28


def work(channel: int, link: int | None) -> int:
    """One request from the parent, to its end; the exit status."""
    body = read_frame(channel, _LARGEST_REQUEST)
    if body is None:
        return 1
    request = unpack(body)
    limit = request["limit"]

    def say(*what: object) -> None:
        write_frame(channel, pack(list(what), limit))

    random.seed(request["seed"])
    if request["role"] == "tests":
        assert link is not None
        check(request, Peer(link, limit=limit), say)
    else:
        _Program(request, say).run(link)
    flush()
    say("end")
    return 0


class _Program:
    """The program of one request: run as a script, or as a module whose functions are called then."""

    def __init__(self, request: Mapping[str, Any], say: Any) -> None:
        self._request, self._say = request, say
        self._script = request["role"] == "script"
        self._module = ModuleType("__main__" if self._script else "program")

    def run(self, link: int | None) -> None:
        request = self._request
        found = self._load()
        if self._script:
            ending = self._finish()
            found = ending if found.kind == "ok" else found
        self._say("program", *found)
        if found.kind != "ok":
            return
        if link is not None:
            Peer(link, limit=request["limit"], names=self._module.__dict__).serve()
        for index, call in enumerate(request["calls"]):
            self._call(index, *call)
        for index, test in enumerate(request["tests"]):
            self._say("test", index, *self._test(index, test), True)

    def _load(self) -> Found:
        source, module = self._request["source"], self._module
        sys.modules[module.__name__] = module
        linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
        code = parsed(source, FILE)
        return code if isinstance(code, Found) else run_code(code, module.__dict__, script=self._script)

    def _finish(self) -> Found:
        """What Python does at the end of a script: threads are waited for, and what was registered runs."""
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        except BaseException as error:
            return trouble(error)
        return FINE

    def _call(self, index: int, function: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        value: object = None
        try:
            target: Any = self._module
            for part in function.split("."):
                target = getattr(target, part)
            value, found = target(*arguments, **keywords), FINE
        except BaseException as error:
            found = trouble(error)
            if isinstance(error, AttributeError) and not found.lines:
                found = Found("name", f"the program defines no {function!r}")
        try:
            self._say("call", index, *found, value)
        except TooLarge:
            self._say("call", index, "output", "the result is too large", [], None)

    def _test(self, index: int, test: str) -> Found:
        """One test in the program's own interpreter: what comes of it is the program's word."""
        code = parsed(test, f"<test {index}>")
        if isinstance(code, Found):
            return code._replace(kind="broken")
        return run_code(code, dict(self._module.__dict__))
