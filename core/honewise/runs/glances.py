"""Questions to the store that count, and read no completion."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from .calls import has_table

__all__ = ["Asked", "Glance", "glance", "sampled"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one model was asked by one template."""

    template: str
    template_hash: str
    model: str
    questions: int
    failed: int


@dataclass(frozen=True, slots=True)
class Glance:
    """A run at a glance."""

    completions: int
    unscored: int
    trained_tasks: int
    """Different tasks, by all that they hold, among the completions that were trained on."""
    evaluated_tasks: int
    shared_tasks: int
    """Of these, how many are both."""
    rewards: Mapping[str, float]
    """Of the newest completions: reward to its weight. Those of several domains have different ones."""
    asked: tuple[Asked, ...]


_NEWEST = 200
"""Completions that are looked at for the rewards of a run."""


def sampled(db: sqlite3.Connection, stage: str) -> dict[int, int]:
    """Step to how many completions of it are stored, for the steps that have any."""
    found = db.execute(
        "SELECT step, count(*) FROM rollouts WHERE stage = ? AND step IS NOT NULL GROUP BY step ORDER BY step", (stage,)
    )
    return dict(found.fetchall())


def glance(db: sqlite3.Connection) -> Glance:
    """Everything that disclosure wants to know and no completion has to be read for."""
    count, unscored, newest = db.execute(
        "SELECT count(*), coalesce(sum(total IS NULL), 0), max(id) FROM rollouts"
    ).fetchone()
    trained, evaluated, shared = db.execute(
        "SELECT coalesce(sum(trained), 0), coalesce(sum(evaluated), 0), coalesce(sum(trained AND evaluated), 0) FROM"
        " (SELECT max(evaluation IS NULL) AS trained, max(evaluation IS NOT NULL) AS evaluated FROM rollouts"
        " GROUP BY task)"
    ).fetchone()
    last = "SELECT reward, weight FROM scores WHERE rollout > ? ORDER BY rollout"
    rewards = dict(db.execute(last, ((newest or 0) - _NEWEST,)))
    asked: list[Asked] = []
    if has_table(db):
        found = db.execute(
            "SELECT template, template_hash, model, count(*), sum(source IN ('failed', 'refused')) FROM judge_calls"
            " GROUP BY template, template_hash, model ORDER BY min(id)"
        )
        asked = [Asked(*row) for row in found]
    return Glance(count, unscored, trained, evaluated, shared, rewards, tuple(asked))
