"""From templates to tasks: drawn, checked against the databases, and split.

Every query belongs to one split by a digest of its text, whatever the seed, so that no two splits share one. A draft
is kept when its answer is not empty, does not hang on ties, and is not the answer of any careless neighbour.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import lru_cache
from typing import Any

from honewise import Task
from honewise.errors import UnknownName
from honewise_text_to_sql.tasks import make_task

from .databases import database
from .questions import Draft, Select, Split, worded
from .simple import Template
from .tables import Dice
from .worlds import WORLDS

__all__ = ["DEMONSTRATIONS", "HELD_OUT", "TRAIN", "Split", "generate"]

DEMONSTRATIONS, TRAIN, HELD_OUT = 400, 2000, 600
"""How many tasks each split has."""

_SHARES: tuple[tuple[int, Split], ...] = ((3, "demonstrations"), (6, "held-out"), (10, "train"))
_MOST_ROWS = 120
_DRAWS_PER_TASK = 40


@lru_cache(maxsize=32)
def generate(split: Split, world: str = "simple", seed: int = 0) -> tuple[Task, ...]:
    """The tasks of one split, always the same for the same arguments. Cached in the process.

    Raises ``UnknownName`` for a world that is not one of ``WORLDS``.
    """
    if world not in WORLDS:
        raise UnknownName("sample world", world, WORLDS)
    wanted = {"demonstrations": DEMONSTRATIONS, "train": TRAIN, "held-out": HELD_OUT}[split]
    setting = WORLDS[world]
    dice = Dice(f"{split}/{world}/{seed}")
    asked: set[str] = set()
    telling: dict[tuple[str, str], bool] = {}
    tasks: list[Task] = []
    with ExitStack() as stack:
        connections = {name: stack.enter_context(closing(_open(name))) for name in setting.fields}
        for _ in range(wanted * _DRAWS_PER_TASK):
            name = dice.pick(tuple(setting.fields))
            draft = _drawn(setting.templates, dice)(setting.fields[name], dice)
            if draft is None:
                continue
            sql = draft.select.sql()
            if _split_of(name, draft.select) != split:
                continue
            if (name, sql) not in telling:
                telling[name, sql] = _telling(connections[name], draft.select)
            if not telling[name, sql]:
                continue
            task = _task(draft, dice, name, split, f"{world}-{split}-{seed}-{len(tasks)}")
            if task.inputs["question"] in asked:
                continue
            asked.add(task.inputs["question"])
            tasks.append(task)
            if len(tasks) == wanted:
                break
    return tuple(_new_queries_first(tasks) if split == "demonstrations" else tasks)


def _new_queries_first(tasks: list[Task]) -> list[Task]:
    """So that a warm-up on the first few sees as many different queries as it can."""
    first = {(task.meta["db_id"], task.reference["sql"][0]): task.id for task in reversed(tasks)}
    ids = set(first.values())
    return [t for t in tasks if t.id in ids] + [t for t in tasks if t.id not in ids]


def _open(name: str) -> sqlite3.Connection:
    return sqlite3.connect(database(name).as_uri() + "?mode=ro&immutable=1", uri=True, isolation_level=None)


def _drawn(templates: tuple[tuple[Template, float], ...], dice: Dice) -> Template:
    left = dice.below(round(100 * sum(weight for _, weight in templates))) / 100
    for template, weight in templates:
        left -= weight
        if left < 0:
            return template
    return templates[-1][0]


def _split_of(name: str, select: Select) -> Split:
    """By what is asked: the order of conditions makes no other query."""
    key = replace(select, where=tuple(sorted(select.where))).sql()
    bucket = hashlib.sha256(f"{name}: {key}".encode()).digest()[0] % 10
    return next(split for below, split in _SHARES if bucket < below)


def _task(draft: Draft, dice: Dice, name: str, split: Split, id: str) -> Task:
    phrasing, question = worded(draft, split, dice)
    meta: dict[str, Any] = {"template": draft.template, "phrasing": phrasing}
    if split == "demonstrations":
        meta["demonstration"] = True
    return make_task(
        id,
        question,
        draft.select.sql(),
        database=database(name),
        db_id=name,
        difficulty=draft.difficulty,
        meta=meta,
    )


def _telling(connection: sqlite3.Connection, select: Select) -> bool:
    """Whether the answer says something: not empty, free of ties, and other than every careless neighbour's."""
    answer = connection.execute(select.sql()).fetchall()
    if not 0 < len(answer) <= _MOST_ROWS or all(value in (None, 0) for row in answer for value in row):
        return False
    if select.limit and not _without_ties(connection, select, answer):
        return False
    right = set(answer)
    return all(right != _rows(connection, sql) for sql in select.wrong())


def _without_ties(connection: sqlite3.Connection, select: Select, answer: list[tuple[Any, ...]]) -> bool:
    ordered = select.order.removesuffix(" DESC")
    ranks = [row[0] for row in connection.execute(_ranked(select, ordered))]
    top = ranks[: select.limit + 1]
    return len(answer) == select.limit and None not in top and len(set(top)) == len(top)


def _ranked(select: Select, ordered: str) -> str:
    parts = Select(ordered, select.table, select.joins, select.where, select.glue, select.group, select.having)
    return f"{parts.sql()} ORDER BY {select.order} LIMIT {select.limit + 1}"


def _rows(connection: sqlite3.Connection, sql: str) -> set[tuple[Any, ...]] | None:
    try:
        return set(connection.execute(sql).fetchall())
    except sqlite3.Error:
        return None
