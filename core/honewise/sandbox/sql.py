"""Run a statement that a model wrote, or a reference statement, against a SQLite database that must not change.

Whatever the statement does, the answer is a ``SqlResult`` with a ``kind``; ``SandboxError`` is raised only where the
sandbox or the database is at fault. What a statement can and cannot do stands in ``guard``; what a process that hangs
or dies is worth, in ``process``.

In a worker of the scoring pool both functions run in place, and the pool kills the worker where SQLite hangs inside
one step; ``running_model_text`` tells it whom to blame. Everywhere else they share one process of their own
with a hard kill shortly after ``SqlLimits.seconds``; it starts at the first call (about 60 ms), is replaced
when it dies, is shared by all threads, one statement at a time, is not inherited by forks, and ends with this process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

from honewise.errors import SandboxError

from . import gold, guard
from .guard import Kind, SqlLimits, SqlResult
from .process import WorkerDied, WorkerProcess, WorkerRaised, WorkerTimeout
from .worker import inside_worker

__all__ = ["Kind", "SqlLimits", "SqlResult", "close", "reference_result", "run_sql"]

_GRACE = 0.25
_OUR_OWN_WORK = 60.0
_DEFAULT = SqlLimits()


def run_sql(database: str | Path, sql: str, limits: SqlLimits = _DEFAULT) -> SqlResult:
    """The result of ``sql``, a text that a model wrote, on the database file.

    Raises ``SandboxError`` where the file is missing, damaged or no SQLite database, or the sandbox fails.

    >>> run_sql("pets.sqlite", "DROP TABLE pet").kind  # doctest: +SKIP
    'denied'
    """
    path = os.path.abspath(database)
    if inside_worker():
        return guard.run(path, sql, limits, model_text=True)
    return _service.run(path, sql, limits, model_text=True)


def reference_result(database: str | Path, sql: str, limits: SqlLimits = _DEFAULT) -> SqlResult:
    """The result of ``sql``, a reference (gold) statement; computed once for a file as it is, a text and limits.

    It is never blamed on the model: a hang is the pool's to kill and nobody's score. The latest few hundred are kept in
    this process and, where the environment variable ``HONEWISE_GOLD_CACHE`` names a private directory, for all
    processes that have the same (see ``gold``). Raises ``SandboxError`` where the statement does not run to its end.
    """
    path = os.path.abspath(database)
    key = (path, guard.identity(path), sql, astuple(limits))
    result = gold.cache.get(key)
    if result is None:
        run = guard.run if inside_worker() else _service.run
        result = run(path, sql, limits, model_text=False)
        gold.cache.put(key, result)
    if not result.ok:
        raise SandboxError(f"the reference statement failed ({result.kind}): {result.error}")
    return result


def close() -> None:
    """End the process that ``run_sql`` keeps, if there is one; the next call starts another."""
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
                self.close()
                self._worker = WorkerProcess("honewise.sandbox.sql:serve", memory_bytes=memory, name="SQL")
                self._memory = memory
            elif not self._worker.alive:
                self._worker.restart()
            return _ask(self._worker, [path, sql, astuple(limits), model_text], limits)

    def close(self) -> None:
        if self._worker is not None:
            self._worker.close()
        self._worker = None


def _ask(worker: WorkerProcess, request: list[Any], limits: SqlLimits) -> SqlResult:
    """One request. A worker that does not answer, or that anything interrupts, is killed."""
    worker.wait_ready()
    try:
        worker.send(request)
        try:
            message = worker.receive(limits.seconds + _GRACE)
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
