"""What happens in the child once it is confined: it reads what to do, and does it.

Whatever it reports of a program is that program's own word, since the program shares the interpreter with this code
and could have said it by itself. It can claim a result, as it could have computed it; it cannot claim a verdict.
"""

from __future__ import annotations

import atexit
import linecache
import os
import random
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from .checker import check
from .codec import TooLarge, pack, unpack
from .frames import HEADER, read_body, write_frame
from .peer import Peer
from .running import FILE, FINE, Found, flush, parsed, run_code, trouble

__all__ = ["work"]

_LARGEST_REQUEST = 1 << 28


def work(channel: int, link: int | None) -> int:
    """One program, to its end, or tests of one program after another; the exit status."""
    with socket.socket(fileno=channel) as orders:
        while True:
            body, links = _order(orders)
            if body is None:
                return 1
            request = unpack(body)

            def say(*what: object, limit: int = request["limit"]) -> None:
                write_frame(channel, pack(list(what), limit))

            random.seed(request["seed"])
            if request["role"] != "tests":
                _program(request, say, link)
            else:
                with socket.socket(fileno=links[0]):
                    check(request, Peer(links[0], limit=request["limit"]), say)
            flush()
            more = request["role"] == "tests" and not os.listdir()
            say("end", more)
            if not more:
                return 0


def _order(orders: socket.socket) -> tuple[bytes | None, list[int]]:
    """One request, and the link to the program that tests come with."""
    header, links, _, _ = socket.recv_fds(orders, HEADER.size, 1)
    while header and len(header) < HEADER.size:
        rest = orders.recv(HEADER.size - len(header))
        header = header + rest if rest else b""
    return (read_body(orders.fileno(), header, _LARGEST_REQUEST) if header else None), links


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
