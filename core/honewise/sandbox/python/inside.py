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
from collections.abc import Callable, Mapping, Sequence
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
        _program(request, say, link)
    flush()
    say("end")
    return 0


def _program(request: Mapping[str, Any], say: Callable[..., None], link: int | None) -> None:
    """Run it as a script, or as a module whose functions are called then."""
    script = request["role"] == "script"
    module = ModuleType("__main__" if script else "program")
    found = _load(request, module, script)
    if script and found.kind == "ok":
        found = _finish()
    say("program", *found)
    if found.kind != "ok":
        return
    if link is not None:
        Peer(link, limit=request["limit"], names=module.__dict__).serve()
    for function, arguments, keywords in request["calls"]:
        _call(module, function, arguments, keywords, say)


def _load(request: Mapping[str, Any], module: ModuleType, script: bool) -> Found:
    source, prelude = request["source"], request["prelude"]
    sys.modules[module.__name__] = module
    if prelude:
        before = parsed(prelude, "<prelude>")
        found = before if isinstance(before, Found) else run_code(before, {"__name__": "prelude"})
        if found.kind != "ok":
            return Found("error", f"what stands before the program: {found.error}")
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    code = parsed(source, FILE)
    return code if isinstance(code, Found) else run_code(code, module.__dict__, script=script)


def _finish() -> Found:
    """What Python does at the end of a script: threads are waited for, and what was registered runs."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException as error:
        return trouble(error)
    return FINE


def _call(
    module: ModuleType, function: str, arguments: Sequence[Any], keywords: Mapping[str, Any], say: Callable[..., None]
) -> None:
    value: object = None
    try:
        target: Any = module
        for part in function.split("."):
            target = getattr(target, part)
        value, found = target(*arguments, **keywords), FINE
    except BaseException as error:
        found = trouble(error)
        if isinstance(error, AttributeError) and not found.lines:
            found = Found("name", f"the program defines no {function!r}")
    try:
        say("call", *found, value)
    except TooLarge:
        say("call", "output", "the result is too large", [], None)
