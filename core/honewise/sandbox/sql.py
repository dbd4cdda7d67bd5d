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

from dataclasses import astuple
from functools import lru_cache
from pathlib import Path

from honewise.errors import SandboxError

from . import gold, guard
from .database import located
from .guard import Kind, SqlLimits, SqlResult
from .worker import inside_worker

__all__ = ["Kind", "SqlLimits", "SqlResult", "close", "reference_result", "run_sql"]

_DEFAULT = SqlLimits()
_plain = lru_cache(maxsize=64)(astuple)  # which copies deeply, and is asked for every completion


def run_sql(database: str | Path, sql: str, limits: SqlLimits = _DEFAULT) -> SqlResult:
    """The result of ``sql``, a text that a model wrote, on the database file.

    Raises ``SandboxError`` where the file is missing, damaged or no SQLite database, or the sandbox fails.

    >>> run_sql("pets.sqlite", "DROP TABLE pet").kind  # doctest: +SKIP
    'denied'
    """
    path, _ = located(database)
    if inside_worker():
        return guard.run(path, sql, limits, model_text=True)
    return _served(path, sql, limits, model_text=True)


def reference_result(database: str | Path, sql: str, limits: SqlLimits = _DEFAULT) -> SqlResult:
    """The result of ``sql``, a reference (gold) statement; computed once for a file as it is, a text and limits.

    It is never blamed on the model: a hang is the pool's to kill and nobody's score. The latest few hundred are kept in
    this process and, where the environment variable ``HONEWISE_GOLD_CACHE`` names a private directory, for all
    workers that have the same (see ``gold``). Raises ``SandboxError`` where the statement does not run to its end.
    """
    path, identity = located(database)
    key = (path, identity, sql, _plain(limits))
    result = gold.cache.get(key)
    if result is None:
        run = guard.run if inside_worker() else _served
        result = run(path, sql, limits, model_text=False)
        gold.cache.put(key, result)
    if not result.ok:
        raise SandboxError(f"the reference statement failed ({result.kind}): {result.error}")
    return result


def close() -> None:
    """End the process that serves these functions outside workers, if there is one; the next call starts another."""
    from . import service

    service.close()


def _served(path: str, sql: str, limits: SqlLimits, *, model_text: bool) -> SqlResult:
    from . import service  # not where it is never needed: in a worker

    return service.run(path, sql, limits, model_text=model_text)
