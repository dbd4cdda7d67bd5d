"""What judges were asked in a run: the store's table of calls, and what it adds up to.

A step's calls are stored with the step. Those of a step that is computed again after a resume stay: they were paid for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from honewise.clients import CallRecord, Spent

__all__ = ["TABLE", "StoredCall", "has_table", "make_table", "read_calls", "spent_on_calls", "write_calls"]

TABLE = """
CREATE TABLE IF NOT EXISTS judge_calls (
    id INTEGER PRIMARY KEY, stage TEXT NOT NULL, step INTEGER,
    template TEXT NOT NULL, template_hash TEXT NOT NULL, model TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL,
    reason TEXT NOT NULL, attempts INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,
    cost REAL NOT NULL, seconds REAL NOT NULL, waited REAL NOT NULL, reply TEXT NOT NULL, verdict REAL,
    at REAL NOT NULL, question TEXT NOT NULL DEFAULT ''
)
"""
_COLUMNS = tuple(field.name for field in fields(CallRecord))


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One question from the store."""

    stage: str
    step: int | None
    """None in an evaluation."""
    call: CallRecord


def make_table(db: sqlite3.Connection) -> None:
    """The table of calls, as a store that is written to has it; one of before may have none, or a smaller one."""
    db.execute(TABLE)
    if "question" not in _there(db):
        db.execute("ALTER TABLE judge_calls ADD COLUMN question TEXT NOT NULL DEFAULT ''")


def write_calls(db: sqlite3.Connection, stage: str, step: int | None, calls: Iterable[CallRecord]) -> None:
    """Add calls, within the caller's transaction."""
    db.executemany(
        f"INSERT INTO judge_calls (stage, step, {', '.join(_COLUMNS)}) VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})",
        [(stage, step, *map(_plain, astuple(call))) for call in calls],
    )


def read_calls(db: sqlite3.Connection, stage: str | None = None, step: int | None = None) -> list[StoredCall]:
    """Calls in the order of writing; of one stage and step where said. A store of before had no such table."""
    if not has_table(db):
        return []
    given = {name: value for name, value in (("stage", stage), ("step", step)) if value is not None}
    where = "WHERE " + " AND ".join(f"{name} = ?" for name in given) if given else ""
    there = _there(db)
    columns = [name if name in there else "''" for name in _COLUMNS]
    found = db.execute(
        f"SELECT stage, step, {', '.join(columns)} FROM judge_calls {where} ORDER BY id", tuple(given.values())
    )
    return [StoredCall(row[0], row[1], _record(row[2:])) for row in found]


def spent_on_calls(db: sqlite3.Connection) -> Spent:
    """What the run's calls have used of a budget."""
    if not has_table(db):
        return Spent()
    calls, tokens, cost = db.execute(
        "SELECT count(*), coalesce(sum(prompt_tokens + tokens), 0), coalesce(sum(cost), 0.0) FROM judge_calls"
        " WHERE source = 'endpoint'"
    ).fetchone()
    return Spent(int(calls), int(tokens), float(cost))


def has_table(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'judge_calls'").fetchone() is not None


def _there(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("PRAGMA table_info(judge_calls)")}


def _record(row: Sequence[Any]) -> CallRecord:
    return CallRecord(**dict(zip(_COLUMNS, row, strict=True)))


def _plain(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
