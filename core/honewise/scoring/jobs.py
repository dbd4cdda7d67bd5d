"""Rows to score, and the distinct computations behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from honewise.contracts import Task

from .evaluate import Job, seed_for

__all__ = ["Row", "distinct"]


@dataclass(frozen=True, slots=True)
class Row:
    """One completion to score."""

    task: Task
    text: str
    tokens: int = 0
    """Number of generated tokens; 0 where unknown."""
    truncated: bool = False
    group: int | None = None
    """Which completions belong together; scoring does not look at it."""


def distinct(rows: Sequence[Row], seed: int) -> tuple[list[Job], list[int]]:
    """The distinct completions, tasks together, and for each row the index of its own."""
    tasks: dict[str, list[Task]] = {}
    same: dict[int, Task] = {}
    keys: dict[tuple[int, str, int, bool], list[int]] = {}
    for index, row in enumerate(rows):
        task = same.get(id(row.task))
        if task is None:
            known = tasks.setdefault(row.task.id, [])
            task = next((each for each in known if each == row.task), row.task)
            if task is row.task:
                known.append(task)
            same[id(row.task)] = task
        keys.setdefault((id(task), row.text, row.tokens, row.truncated), []).append(index)
    by_task: dict[int, list[tuple[Row, list[int]]]] = {}
    for (task_key, *_), indices in keys.items():
        by_task.setdefault(task_key, []).append((rows[indices[0]], indices))
    jobs: list[Job] = []
    places = [0] * len(rows)
    for task_key, group in by_task.items():
        task = same[task_key]
        for row, indices in group:
            for index in indices:
                places[index] = len(jobs)
            number = seed_for(seed, task.id, row.text)
            jobs.append(Job(task, row.text, (), {}, row.tokens, row.truncated, number))
    return jobs, places
