"""The judge's template, its replies and its gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from honewise import Completion, Domain, Task, Term
from honewise.templates import load, render, slots_of
from honewise.testing import FakeJudge
from honewise_text_to_sql.judging import NEAR_MATCH, judge_reward, read_verdict
from honewise_text_to_sql.presets import PRESETS


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Score: 2", 1.0),
        ("Score: 0", 0.0),
        ("It lacks a join.\nScore: 1.5", 0.75),
        ("Score: 0.5\nOn second thought:\n**Score: 1.0**", 0.5),
        ("score = 1", 0.5),
        ("> Score: 1.5/2", 0.75),
        ("Score: 1 out of 2.", 0.5),
        (" 1.5 \n", 0.75),
    ],
)
def test_the_last_verdict_binds(reply: str, value: float) -> None:
    assert read_verdict(reply).value == value


@pytest.mark.parametrize(
    "reply", ["", "good", "Score: 3", "Score: -1", "Score: two", "I would say 1.5 of it", "Score: 1e9"]
)
def test_a_reply_without_a_verdict_on_the_scale_is_refused(reply: str) -> None:
    with pytest.raises(ValueError, match=r"score|Score"):
        read_verdict(reply)


def test_the_template_takes_the_slots_that_the_reward_gives(ask: Callable[..., Task]) -> None:
    template = load("honewise_text_to_sql", NEAR_MATCH.file)
    judge = FakeJudge([1.0])
    task = ask("SELECT name FROM customer")
    value = asyncio.run(judge_reward.fn(task, Completion("", "SELECT {{gold}}"), judge))
    assert value == 1.0
    assert set(judge.calls[0].slots) == slots_of(template)
    text = render(template, judge.calls[0].slots)
    assert "SELECT {{gold}}" in text
    assert "CREATE TABLE customer" in text


def test_nothing_readable_asks_nobody(ask: Callable[..., Task]) -> None:
    judge = FakeJudge()
    assert asyncio.run(judge_reward.fn(ask("SELECT 1"), Completion("?"), judge)) == 0.0
    assert not judge.calls


def test_only_queries_that_did_not_match_are_judged(domain: Domain) -> None:
    term = PRESETS["reasoning-sql"].terms["judge"]
    assert isinstance(term, Term)
    assert term.when == "execution < 1"
    assert NEAR_MATCH in domain.judges
