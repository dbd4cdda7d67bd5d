"""The inside of a scoring worker: rebuilds the domain and its rewards by name, and scores what it is sent."""

from __future__ import annotations

import gc
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from honewise.contracts import Completion, Reward, Task
from honewise.host import get_host

from .evaluate import PARSE, Job, Plan, evaluate
from .functions import bind, rebuild
from .gates import Gate
from .packing import pack_completion, unpack_task

__all__ = ["Desk", "serve"]

_LAYOUT = struct.Struct("<Qqqd")
_FLUSH = 0.05
"""Seconds after which finished results are sent, so that a later kill loses little."""


class Desk:
    """Where a worker stands, in memory shared with its parent: a count of calls, row, plan, and the deadline.

    The deadline is on ``time.monotonic``, one clock for all processes; 0 where nothing with a deadline runs.
    """

    SIZE = _LAYOUT.size

    def __init__(self, path: str, *, create: bool = False) -> None:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(descriptor, self.SIZE)
            self._memory = mmap.mmap(descriptor, self.SIZE)
        finally:
            os.close(descriptor)
        self._count = 0

    def begin(self, row: int, plan: int, seconds: float) -> None:
        self._count += 1
        _LAYOUT.pack_into(self._memory, 0, self._count, row, plan, time.monotonic() + seconds)

    def end(self) -> None:
        self._count += 1
        _LAYOUT.pack_into(self._memory, 0, self._count, -1, -1, 0.0)

    def read(self) -> tuple[int, int, int, float]:
        """Count, row, plan and deadline; torn where the worker writes at this moment."""
        count, row, plan, deadline = _LAYOUT.unpack_from(self._memory, 0)
        return count, row, plan, deadline

    def clear(self) -> None:
        """For a new worker at the same desk."""
        _LAYOUT.pack_into(self._memory, 0, 0, -1, -1, 0.0)


def serve(arguments: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Build the handler of one worker; raises what the domain raises where it cannot be built here."""
    domain = get_host().domain(arguments["domain"], **arguments["options"])
    desk = Desk(arguments["desk"])
    plans: list[Plan] = []
    missing: dict[str, str] = {}
    for entry in arguments["plans"]:
        name, gate = entry["name"], Gate(*entry["gate"]) if entry["gate"] else None
        try:
            reward = rebuild(entry["source"], domain, get_host())
            call = bind(name, reward, entry["options"])
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
            reward, call = _ABSENT, _absent
        plans.append(Plan(name, reward, gate, entry["otherwise"], call, entry["seconds"]))

    gc.freeze()  # what was built is here to stay: no collection need look at it again

    def handle(request: Mapping[str, Any]) -> Any:
        return missing if "check" in request else _score(request, domain.parse, plans, desk)

    return handle


def _absent() -> None:
    """Stands in for a reward that this process cannot find; it is never called."""


_ABSENT = Reward(fn=_absent, name="absent")


def _score(
    request: Mapping[str, Any], parse: Callable[[str, Task], Completion], plans: Sequence[Plan], desk: Desk
) -> Iterator[tuple[bool, list[list[Any]]]]:
    """Yields finished cells ``[row, plan, result]`` now and then and at the end; before them, whether it is the end."""
    tasks = [unpack_task(packed) for packed in request["tasks"]]
    jobs = [
        Job(tasks[task], text, todo, dict(raw), tokens, truncated, seed, settle=settle)
        for task, text, tokens, truncated, todo, raw, seed, settle in request["jobs"]
    ]
    cells: list[list[Any]] = []

    def emit(row: int, plan: int, result: Any) -> None:
        if plan == PARSE:
            cells.append([row, plan, result if isinstance(result, str) else pack_completion(result)])
        else:
            cells.append([row, plan, result.pack()])

    sent = time.monotonic()
    for _ in evaluate(parse, plans, jobs, desk, emit):
        if time.monotonic() - sent > _FLUSH:
            yield False, cells
            cells.clear()
            sent = time.monotonic()
    yield True, cells
