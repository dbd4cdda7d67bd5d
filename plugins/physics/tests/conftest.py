"""The domain in both styles, and ways to score the text of a reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from honewise import Completion, Domain, Score, Task, Unscored
from honewise_physics.domain import physics
from honewise_physics.tasks import make_task, part


@pytest.fixture(scope="session")
def domain() -> Domain:
    return physics()


@pytest.fixture
def ask() -> Callable[..., Task]:
    """A task with one number for an answer."""

    def make(text: str, unit: str = "", kind: Any = "number", **fields: Any) -> Task:
        return make_task("0", "What?", [part(text, kind, unit)], **fields)

    return make


@pytest.fixture
def judge_text(domain: Domain) -> Callable[..., Any]:
    """Score the whole text of a reply by one reward, called as it is."""
    rewards = {reward.name: reward for reward in domain.rewards}

    def call(name: str, task: Task, text: str, **options: Any) -> Score | Unscored:
        wanted = rewards[name]
        given: dict[str, Task | Completion] = {"task": task, "completion": domain.parse(text, task)}
        result = wanted.fn(**{key: value for key, value in given.items() if key in wanted.arguments}, **options)
        return result if isinstance(result, Score | Unscored) else Score(float(result))

    return call
