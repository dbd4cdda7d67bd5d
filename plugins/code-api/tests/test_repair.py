"""Repair: what is found, what is left, what is changed, and that silence is no repair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from honewise import Score, Task, Unscored
from honewise.testing import check_domain
from honewise_code_api.domain import code_repair
from honewise_code_api.findings import findings

DOMAIN = code_repair(seconds=10.0)
REWARDS = {each.name: each for each in DOMAIN.rewards}
TASK = next(iter(DOMAIN.samples("train")))
FIXED = TASK.reference["solution"]
WEAK = TASK.inputs["code"]


@pytest.fixture
def score() -> Callable[..., Score]:
    def given(name: str, code: str, explanation: str = "") -> Any:
        text = f"<explanation>{explanation}</explanation>\n<answer>\n```python\n{code}\n```\n</answer>"
        arguments = {"task": TASK, "completion": DOMAIN.parse(text, TASK)}
        return REWARDS[name](**{key: each for key, each in arguments.items() if key in REWARDS[name].arguments})

    return given


def test_the_domain_keeps_the_contract() -> None:
    assert check_domain("code-api/repair")


def test_every_sample_has_a_finding_that_its_repair_has_not() -> None:
    for task in [*DOMAIN.samples("train"), *DOMAIN.samples("held-out")]:
        assert findings(task.inputs["code"])
        assert findings(task.reference["solution"]) == ()


@pytest.mark.parametrize(
    ("code", "value", "charged"),
    [
        (FIXED, 1.0, []),
        (WEAK, 0.0, ["    result = eval(text)"]),
        (WEAK.replace("eval(text)", "eval(text)  # nosec"), 0.0, ["    result = eval(text)  # nosec"]),
        (FIXED + "\nimport pickle\npickle.loads(b'')", 0.0, ["pickle.loads(b'')"]),
        ("def read(text):\n    return", 1.0, []),
        ("def read(:", 0.0, []),
    ],
)
def test_findings(score: Callable[..., Any], code: str, value: float, charged: list[str]) -> None:
    found = score("findings", code)
    text = f"<explanation></explanation>\n<answer>\n```python\n{code}\n```\n</answer>"
    assert found.value == pytest.approx(value)
    assert [text[span.start : span.end] for span in found.spans] == charged


@pytest.mark.parametrize(
    ("code", "right"),
    [(FIXED, 1.0), (WEAK, 0.0), ("def read(text):\n    return [1, 2]", 0.0), ("def read(text):\n    return", 0.0)],
)
def test_repaired_is_both_clean_and_working(score: Callable[..., Any], code: str, right: float) -> None:
    assert score("repaired", code).value == right


def test_changing_more_than_needed_earns_less(score: Callable[..., Any]) -> None:
    assert score("minimal", FIXED).value == 1.0
    assert score("minimal", WEAK).value == 0.0
    assert score("minimal", FIXED + "\n\nx = 1\ny = 2").value == pytest.approx(4 / 7)


def test_the_explanation_is_compared_by_words(score: Callable[..., Any]) -> None:
    assert score("comment_overlap", FIXED, TASK.reference["comment"]).value == 1.0
    assert 0 < score("comment_overlap", FIXED, "eval runs any code").value < 1
    assert score("comment_overlap", FIXED, "").value == 0.0


def test_a_task_in_which_nothing_is_found_is_unscored() -> None:
    task = Task("0", {"code": "x = 1"}, {"solution": "x = 1"})
    found = REWARDS["findings"](task=task, completion=DOMAIN.parse("<answer>x = 1</answer>", task))
    assert isinstance(found, Unscored)
