"""Sample databases and questions of our own making: what the quickstart trains on, and the domain's own tasks.

Five small SQLite databases (``library``, ``clinic``, ``harbour``, ``observatory``, ``bakery``) and a generator of
questions over them, in three worlds:

- ``simple``: one table, one condition mostly, few words: what a model of two million parameters learns in minutes;
- ``joins``: two or three tables, several conditions, groups;
- ``all``: both, and dates, NULLs, LIKE, ranges, names with quotes and of several scripts, HAVING, superlatives, nested
  queries.

Difficulty: ``easy`` is one table with at most one condition and no grouping; ``medium`` is more over one table, or one
join with one condition; ``hard`` is a group or two conditions over a join, three tables, HAVING, superlatives over a
join, or a nested query.

Three splits share no query (up to spacing and case) within a database and no question: demonstrations, train,
held-out. Demonstrations are worded in one manner, as if one person had written them; training questions in every
manner. Held-out questions use no phrasing of the other two, though the same words.
"""

from __future__ import annotations

from honewise import Task
from honewise.errors import UnknownName, UserError

from .databases import cache_folder, database
from .fields import FIELDS
from .generate import DEMONSTRATIONS, HELD_OUT, TRAIN, generate
from .worlds import WORLDS

__all__ = [
    "DATABASES",
    "DEMONSTRATIONS",
    "HELD_OUT",
    "TRAIN",
    "WORLDS",
    "cache_folder",
    "database",
    "demonstrations",
    "tasks",
]

DATABASES: tuple[str, ...] = tuple(FIELDS)
"""Names of the sample databases."""


def tasks(split: str, *, world: str = "simple", seed: int = 0) -> list[Task]:
    """The tasks of one split, in an order without meaning; the same for the same arguments, anywhere.

    Args:
        split: ``train`` (first ``DEMONSTRATIONS`` tasks with ``meta["demonstration"]`` true, whose gold queries a
            warm-up may show, then ``TRAIN`` tasks without the mark) or ``held-out`` (``HELD_OUT`` tasks).
        world: ``simple``, ``joins`` or ``all``.
        seed: another seed draws other tasks; no seed ever moves a query from one split to another.

    Raises:
        UnknownName: no such split or world.
        UserError: the databases cannot be written to the cache folder.
    """
    if split == "train":
        return [*generate("demonstrations", world, seed), *generate("train", world, seed)]
    if split == "held-out":
        return list(generate("held-out", world, seed))
    raise UnknownName("split of the samples", split, ("train", "held-out"))


def demonstrations(*, world: str = "simple", count: int = 120, seed: int = 0) -> list[tuple[Task, str]]:
    """The first ``count`` demonstrations (at most ``DEMONSTRATIONS``), each with its gold query.

    Raises ``UserError`` for a count outside ``0..DEMONSTRATIONS``.
    """
    if not 0 <= count <= DEMONSTRATIONS:
        raise UserError(f"{count} demonstrations were asked for; the samples have 0 to {DEMONSTRATIONS}")
    shown = generate("demonstrations", world, seed)[:count]
    return [(task, task.reference["sql"][0]) for task in shown]
