"""The one process in which statements run where the caller is no worker itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from honewise.errors import SandboxError

from . import guard
from .guard import GRACE, SqlLimits, SqlResult
from .process import WorkerDied, WorkerProcess, WorkerRaised, WorkerTimeout

__all__ = ["close", "run", "serve"]

_OUR_OWN_WORK = 60.0


def run(path: str, sql: str, limits: SqlLimits, *, model_text: bool) -> SqlResult:
    """As ``guard.run``, in that process, which is killed shortly after the deadline. Raises ``SandboxError``."""
    if len(sql) > limits.statement_bytes:
        return SqlResult(error=f"the statement is longer than {limits.statement_bytes} bytes", kind="too_large")
    return _service.run(path, sql, limits, model_text=model_text)


def close() -> None:
    """End that process, if there is one; the next call starts another."""
    _service.close()


def serve(_: object) -> Callable[[Any], Any]:
    """The target of that process."""

    def handle(request: Any) -> Any:
        path, sql, limits, model_text = request
        result = guard.run(path, sql, SqlLimits(*limits), model_text=model_text)
        return [result.columns, result.rows, result.error, result.kind, result.seconds]

    return handle


class _Service:
    """The one process behind ``run_sql``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self._memory = 0

    def run(self, path: str, sql: str, limits: SqlLimits, *, model_text: bool) -> SqlResult:
        with self._lock:
            memory = limits.memory_bytes + 4 * limits.result_bytes
            if self._worker is None or self._memory != memory:
                self._end()
                self._worker = WorkerProcess("honewise.sandbox.service:serve", memory_bytes=memory, name="SQL")
                self._memory = memory
            elif not self._worker.alive:
                self._worker.restart()
            request = [path, sql, astuple(limits), model_text]
            try:
                return _ask(self._worker, request, limits)
            except WorkerDied:  # while idle, or of something of ours: once more in a fresh one
                self._worker.restart()
                return _ask(self._worker, request, limits)

    def close(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


def _ask(worker: WorkerProcess, request: list[Any], limits: SqlLimits) -> SqlResult:
    """One request. A worker that does not answer, or that anything interrupts, is killed."""
    worker.wait_ready()
    try:
        worker.send(request)
        try:
            message = worker.receive(limits.seconds + GRACE)
        except WorkerTimeout:
            if worker.blamed:
                worker.kill()
                return SqlResult(error=f"killed after {limits.seconds:g} s", kind="timeout", seconds=limits.seconds)
            message = worker.receive(_OUR_OWN_WORK)  # it opens or copies a database, or sends a large result
        except WorkerDied as died:
            if worker.blamed:
                return SqlResult(error=str(died), kind="crashed")
            raise
    except WorkerRaised as raised:
        if raised.kind == "MemoryError":
            return SqlResult(error="out of memory", kind="memory")
        raise SandboxError(raised.message if raised.kind == "SandboxError" else str(raised)) from None
    except BaseException:
        worker.kill()
        raise
    columns, rows, error, kind, seconds = message.value
    return SqlResult(tuple(columns), [tuple(row) for row in rows], error, kind, seconds)


_service = _Service()


def _after_fork() -> None:
    global _service
    _service = _Service()


os.register_at_fork(after_in_child=_after_fork)
