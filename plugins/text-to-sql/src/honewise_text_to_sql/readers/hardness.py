"""Spider's own grading of a query as easy, medium, hard or extra, from the parsed query that its rows carry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["hardness"]

_LIKE = 9


def hardness(sql: Any) -> str:
    """The grade by Spider's published rule; empty where ``sql`` is not such a parsed query.

    The rule counts clauses and joins, nested queries, and further parts (more than one aggregate, column, condition
    or grouping). It looks at the first field of a condition where it means an aggregate, which is its negation: kept
    as it is, so that grades agree with published ones.
    """
    try:
        return _grade(_clauses(sql), _nested(sql), _further(sql))
    except (KeyError, TypeError, IndexError, AttributeError):
        return ""


def _grade(clauses: int, nested: int, further: int) -> str:
    if clauses <= 1 and not further and not nested:
        return "easy"
    if not nested and ((further <= 2 and clauses <= 1) or (clauses <= 2 and further < 2)):
        return "medium"
    if not nested and ((further > 2 and clauses <= 2) or (2 < clauses <= 3 and further <= 2)):
        return "hard"
    if clauses <= 1 and not further and nested <= 1:
        return "hard"
    return "extra"


def _clauses(sql: Any) -> int:
    conditions: list[list[Any]] = [sql["from"]["conds"], sql["where"], sql["having"]]
    used: int = sum(bool(sql[clause]) for clause in ("where", "groupBy", "orderBy"))
    used += sql["limit"] is not None
    used += max(0, len(sql["from"]["table_units"]) - 1)
    used += sum(joint == "or" for each in conditions for joint in each[1::2])
    used += sum(unit[1] == _LIKE for each in conditions for unit in each[::2])
    return used


def _nested(sql: Any) -> int:
    conditions = [*sql["from"]["conds"][::2], *sql["where"][::2], *sql["having"][::2]]
    inside = sum(isinstance(value, dict) for unit in conditions for value in (unit[3], unit[4]))
    return inside + sum(sql[joint] is not None for joint in ("intersect", "except", "union"))


def _further(sql: Any) -> int:
    columns = sql["select"][1]
    aggregates = _aggregates(columns) + _aggregates(sql["where"][::2]) + _aggregates(sql["groupBy"])
    if sql["orderBy"]:
        units = sql["orderBy"][1]
        aggregates += _aggregates([unit[1] for unit in units if unit[1]] + [unit[2] for unit in units if unit[2]])
    aggregates += _aggregates(sql["having"])
    many: Sequence[int] = (aggregates, len(columns), len(sql["where"]), len(sql["groupBy"]))
    return sum(number > 1 for number in many)


def _aggregates(units: Iterable[Any]) -> int:
    return sum(unit[0] != 0 for unit in units)
