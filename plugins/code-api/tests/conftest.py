"""Small tasks, and how a reply to one is scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from honewise import Domain, Score, Task, Unscored
from honewise_code_api.domain import code_api, code_tests

FUNCTIONS = [
    {
        "name": "music.play",
        "parameters": {
            "type": "dict",
            "properties": {
                "artist": {"type": "string"},
                "minutes": {"type": "integer"},
                "loud": {"type": "boolean"},
                "rate": {"type": "float"},
            },
            "required": ["artist", "minutes"],
        },
    },
    {"name": "stop", "parameters": {"type": "dict", "properties": {}, "required": []}},
]


@pytest.fixture(scope="session")
def calls() -> Domain:
    return code_api(seconds=10.0)


@pytest.fixture(scope="session")
def programs() -> Domain:
    return code_tests(seconds=10.0)


@pytest.fixture
def ask() -> Callable[..., Task]:
    def make(*accepted: dict[str, Any]) -> Task:
        return Task("0", {"question": "?", "functions": FUNCTIONS}, {"calls": list(accepted)})

    return make


@pytest.fixture
def worth(calls: Domain, programs: Domain) -> Callable[..., Any]:
    """The ``Score`` of a reward for some code, wrapped in answer tags."""

    def score(name: str, task: Task, code: str, *, raw: bool = False) -> Score | Unscored:
        domain = calls if "tests" not in task.reference else programs
        reward = next(each for each in domain.rewards if each.name == name)
        text = code if raw else f"so <answer>\n```python\n{code}\n```\n</answer>"
        given = {"task": task, "completion": domain.parse(text, task)}
        found: Score | Unscored = reward(**{key: each for key, each in given.items() if key in reward.arguments})
        return Score(float(found)) if isinstance(found, int | float) else found

    return score
