"""Completions to try rewards and metrics on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from honewise.contracts import Completion, Domain, Task
from honewise.host import get_host

__all__ = ["SampleRow", "sample_rows"]

Kind = Literal["gold", "empty", "cut", "other"]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A task with its prompt, and one completion of it as the domain reads it."""

    task: Task
    completion: Completion
    kind: Kind
    """``gold``; ``empty``: nothing; ``cut``: the first half of the gold; ``other``: the gold of another task."""


def sample_rows(
    domain: str | Domain, *, split: str = "held-out", limit: int = 4, options: Mapping[str, Any] | None = None
) -> list[SampleRow]:
    """The first ``limit`` samples of a domain that have a gold completion, each with four completions.

    >>> [row.kind for row in sample_rows("arithmetic", limit=1)]
    ['gold', 'empty', 'cut']
    """
    built = domain if isinstance(domain, Domain) else get_host().domain(domain, **(options or {}))
    tasks = [replace(task, prompt=tuple(built.prompt(task))) for task in islice(built.samples(split), 4 * limit)]
    golds = [(task, gold) for task in tasks if (gold := built.gold(task)) is not None][:limit]
    rows = []
    for index, (task, gold) in enumerate(golds):
        other = golds[(index + 1) % len(golds)][1]
        found: dict[Kind, str] = {"gold": gold, "empty": "", "cut": gold[: len(gold) // 2], "other": other}
        if other == gold:
            del found["other"]
        rows += [_row(built, task, text, kind) for kind, text in found.items()]
    return rows


def _row(domain: Domain, task: Task, text: str, kind: Kind) -> SampleRow:
    completion = domain.parse(text, task)
    return SampleRow(task, replace(completion, tokens=len(text.split()), truncated=kind == "cut"), kind)
