"""Preferences: what the reader makes of both layouts, whom the reward asks, and what blocks of code are worth."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from honewise import Task, Unscored
from honewise.data import load_tasks
from honewise.errors import DataError
from honewise.templates import home_of, load, slots_of
from honewise.testing import FakeJudge, check_domain
from honewise_code_api.domain import code_preferences
from honewise_code_api.preferences import JUDGES, PREFERENCES, code_block, parse, preference

DOMAIN = code_preferences()


def test_the_domain_keeps_the_contract() -> None:
    assert check_domain("code-api/preferences", judge=FakeJudge(otherwise=1.0))


def read(tmp_path: Path, *rows: dict[str, Any]) -> list[Task]:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return list(load_tasks(DOMAIN, path=path).tasks)


def test_the_best_rated_response_is_gold(tmp_path: Path) -> None:
    row = {
        "instruction": "Sort.",
        "preference": "style",
        "models": ["a", "b", "c"],
        "responses": [
            {"model": "a", "response": "A"},
            {"model": "b", "response": "B"},
            {"model": "c", "response": "C"},
        ],
        "annotations": [
            {"model": "a", "rating": "N/A", "rationale": ""},
            {"model": "b", "rating": "3", "rationale": ""},
            {"model": "c", "rating": 5, "rationale": ""},
        ],
    }
    (task,) = read(tmp_path, row)
    assert DOMAIN.gold(task) == "C"
    assert [each["rating"] for each in task.reference["rated"]] == [None, 3, 5]


def test_the_binarised_layout(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Sort."}, {"role": "assistant", "content": "sorted(x)"}]
    row = {"instruction": "Sort.", "preference": "complexity", "chosen": said, "rejected": "no"}
    (task,) = read(tmp_path, row)
    assert DOMAIN.gold(task) == "sorted(x)"
    assert task.reference["rejected"] == "no"


def test_another_preference_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1: 'instruction' must be text and 'preference' one of"):
        read(tmp_path, {"instruction": "Sort.", "preference": "beauty"})


@pytest.mark.parametrize("name", PREFERENCES)
def test_each_preference_has_a_judge_that_gets_what_it_asks_for(name: str) -> None:
    judge = FakeJudge([0.75])
    task = Task("0", {"question": "Sort."}, meta={"preference": name})
    assert asyncio.run(preference.fn(task, parse("```\nx\n```", task), judge)) == 0.75
    (call,) = judge.calls
    template = load(home_of(call.template), JUDGES[name].file)
    assert set(call.slots) == slots_of(template) == {"question", "reply"}


def test_blank_replies_ask_nobody_and_unknown_preferences_are_unscored() -> None:
    judge = FakeJudge()
    task = Task("0", {"question": "?"}, meta={"preference": "style"})
    assert asyncio.run(preference.fn(task, parse(" \n", task), judge)) == 0.0
    other = asyncio.run(preference.fn(Task("0", {"question": "?"}), parse("x", task), judge))
    assert isinstance(other, Unscored)
    assert not judge.calls


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("so:\n```python\nx = 1\n```\nend", 1.0),
        ("```\nx = (\n```", 0.0),
        ("x = 1", 0.0),
        ("```py\nx = 1", 1.0),
        ("```", 0.0),
    ],
)
def test_blocks_of_code(text: str, value: float) -> None:
    completion = parse(text, Task("0", {"question": "?"}))
    found = code_block(completion=completion)
    assert found.value == value
    assert all(text[span.start : span.end].strip() == "x = 1" for span in found.spans)
