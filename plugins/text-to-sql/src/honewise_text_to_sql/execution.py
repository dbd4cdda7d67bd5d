"""What running a query showed: one run and one comparison per query, shared by every reward that asks.

What the query itself causes (a syntax error, a time-out, a denial, too much output, a crash) is an outcome of the
model's. What is ours (no database file, a gold query that does not run) is a reason not to score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from honewise import SandboxError, Task
from honewise.sandbox import (
    Prepared,
    SqlLimits,
    SqlResult,
    execution_match,
    identity,
    is_ordered,
    reference_result,
    results_match,
    run_sql,
    soft_f1,
)

from .cells import cell_scores
from .sqltext import MAX_CHARACTERS
from .tasks import Match

__all__ = ["Outcome", "Runner"]

_CACHE = 2048
_GOLD_CACHE = 16
_SMALL = 100

Identity = tuple[int, ...]
"""Of a database file as it is: what is remembered of it is of no other state."""

Gold = tuple[Prepared, bool] | str
"""The rows of an accepted query and whether their order counts; or why it did not run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``ran``: without an error. The comparisons are with the accepted query that each of them favours."""

    ran: bool
    kind: str
    error: str = ""
    rows: int = 0
    gold_problem: str = ""
    """Why it could not be compared; empty where it was, or where there was nothing to compare."""
    set_match: bool = False
    """BIRD's EX: equal sets of rows."""
    bag_match: bool = False
    """Test-suite style: equal bags of rows under one order of columns; in order where the question wants one."""
    soft_f1: float = 0.0
    results: tuple[Prepared, tuple[Prepared, ...]] | None = None
    """What it returned and what the accepted queries did, for ``cells``; kept where it is small."""
    large_cells: float = 0.0
    """What ``cells`` is where they are not kept."""

    @property
    def cells(self) -> float:
        """How far the results agree, in [0, 1]: the mean of cell precision, cell recall and the ratio of row counts."""
        return self.large_cells if self.results is None else _cells(*self.results)

    def matches(self, match: Match) -> bool:
        return self.set_match if match == "set" else self.bag_match


class Runner:
    """Runs queries under one set of limits, each once per database while it stays in the cache."""

    def __init__(self, limits: SqlLimits) -> None:
        self.limits = limits
        self._outcome = lru_cache(maxsize=_CACHE)(self._run)
        self._prepared = lru_cache(maxsize=_GOLD_CACHE)(self._reference)

    def problem(self, task: Task, *, compare: bool) -> str:
        """Why no completion of this task can be run (and, with ``compare``, compared); empty where it can."""
        reference = task.reference
        database, accepted = reference.get("database"), reference.get("sql") or ()
        if compare and not accepted:
            return "the data has no gold query for this task"
        if not database or not Path(database).is_file():
            name = task.meta.get("db_id") or "?"
            return f"database {name!r} is not there, or is none: give its folder as the domain option `databases`"
        if not compare:
            return ""
        return _fault(self._gold(database, identity(database), accepted, reference.get("ordered")))

    def outcome(self, task: Task, sql: str) -> Outcome:
        """Run ``sql`` on the task's database and compare it with the accepted queries.

        Raises ``SandboxError`` where the sandbox itself failed.
        """
        reference = task.reference
        ordered = reference.get("ordered")
        accepted = tuple(reference.get("sql") or ())
        # A text too long to be a query is not worth remembering: thousands of them would fill the memory.
        run = self._outcome if len(sql) <= MAX_CHARACTERS else self._run
        return run(reference["database"], identity(reference["database"]), sql, accepted, ordered)

    def _run(self, database: str, file: Identity, sql: str, accepted: tuple[str, ...], ordered: bool | None) -> Outcome:
        result = run_sql(database, sql, self.limits)
        golds = self._gold(database, file, accepted, ordered)
        if not result.ok:
            return Outcome(False, result.kind, f"{result.kind}: {result.error}", gold_problem=_fault(golds))
        return _compared(result, golds)

    def _gold(self, database: str, file: Identity, accepted: Sequence[str], ordered: bool | None) -> list[Gold]:
        golds: list[Gold] = []
        for sql in accepted:
            try:
                rows = self._prepared(database, file, sql)
            except SandboxError as problem:
                golds.append(str(problem))
            else:
                golds.append((rows, is_ordered(sql) if ordered is None else ordered))
        return golds

    def _reference(self, database: str, _file: Identity, sql: str) -> Prepared:
        return Prepared(reference_result(database, sql, self.limits).rows)


def _fault(golds: Sequence[Gold]) -> str:
    """Why there is nothing to compare with; empty where one accepted query ran, or none was given."""
    faults = [gold for gold in golds if isinstance(gold, str)]
    return f"no gold query runs: {faults[0]}" if faults and len(faults) == len(golds) else ""


def _compared(result: SqlResult, golds: Sequence[Gold]) -> Outcome:
    usable = [gold for gold in golds if not isinstance(gold, str)]
    if result.rows and any(gold.rows == result.rows for gold, _ in usable):
        return Outcome(True, "ok", "", len(result.rows), "", True, True, 1.0, large_cells=1.0)
    given, golds_rows = Prepared(result.rows), tuple([gold for gold, _ in usable])
    small = sum(map(len, (given, *golds_rows))) <= _SMALL
    return Outcome(
        ran=True,
        kind="ok",
        rows=len(result.rows),
        gold_problem=_fault(golds),
        set_match=any(execution_match(gold, given) for gold, _ in usable),
        bag_match=any(results_match(gold, given, ordered=ordered) for gold, ordered in usable),
        soft_f1=max((soft_f1(gold, given, ordered=ordered) for gold, ordered in usable), default=0.0),
        results=(given, golds_rows) if small else None,
        large_cells=0.0 if small else _cells(given, golds_rows),
    )


def _cells(given: Prepared, golds: Sequence[Prepared]) -> float:
    return max((sum(cell_scores(gold, given)) / 3 for gold in golds), default=0.0)
