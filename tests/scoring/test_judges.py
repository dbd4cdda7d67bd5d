"""Judges and the clock of a reward; what ends a run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from honewise import Completion, Domain, JudgeTemplate, Rubric, Task, Verdict, reward
from honewise.errors import JudgeBudgetExceeded
from honewise.scoring import Row, Scorer

TEMPLATE = JudgeTemplate("t.md", lambda reply: Verdict(1.0))
TASK = Task("t", {})


class Slow:
    """Takes its time; ``keeps_deadlines`` says that it ends by itself."""

    def __init__(self, seconds: float, *, keeps_deadlines: bool) -> None:
        self.seconds, self.keeps_deadlines = seconds, keeps_deadlines

    async def __call__(self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str) -> Verdict:
        await asyncio.sleep(self.seconds)
        return Verdict(1.0)

    async def ask(self, template: JudgeTemplate, slots: Any) -> str:
        await asyncio.sleep(self.seconds)
        return "asked"


def scorer(fn: Any, judge: Any) -> Scorer:
    domain = Domain(
        prompt=lambda task: [],
        parse=lambda text, task: Completion(text, text),
        gold=lambda task: None,
        samples=lambda split: [TASK],
        rewards=[fn],
        rubrics={"default": Rubric({fn.name: 1.0})},
    )
    return Scorer(domain, judge=judge, workers=0)


def cell(fn: Any, judge: Any) -> Any:
    with scorer(fn, judge) as made:
        return made.score([Row(TASK, "x")])[0].rewards[fn.name]


@reward(deadline=0.3)
async def once(completion: Completion, judge: Any) -> float:
    return (await judge(TEMPLATE, answer=completion.text)).value


@reward(deadline=0.3)
async def several(completion: Completion, judge: Any) -> float:
    votes = await asyncio.gather(*(judge(TEMPLATE, answer=str(i)) for i in range(3)), judge.ask(TEMPLATE, {}))
    return float(votes[-1] == "asked")


@reward(deadline=0.3)
async def then_hangs(completion: Completion, judge: Any) -> float:
    await asyncio.sleep(0.2)
    await judge(TEMPLATE, answer="x")
    await asyncio.sleep(0.2)
    return 1.0


@pytest.mark.parametrize("fn", [once, several], ids=lambda fn: fn.name)
def test_a_reward_that_waits_for_a_patient_judge_is_not_on_the_clock(fn: Any) -> None:
    assert cell(fn, Slow(0.8, keeps_deadlines=True)).value == 1.0


def test_a_judge_that_may_hang_is_on_the_clock() -> None:
    assert cell(once, Slow(30, keeps_deadlines=False)).unscored == "once: deadline of 0.3 s passed"


def test_the_clock_goes_on_after_the_judge() -> None:
    began = time.monotonic()
    assert cell(then_hangs, Slow(0.5, keeps_deadlines=True)).unscored == "then_hangs: deadline of 0.3 s passed"
    assert time.monotonic() - began < 20


def test_a_timeout_of_its_own_is_no_deadline() -> None:
    @reward
    async def impatient(completion: Completion, judge: Any) -> float:
        raise TimeoutError

    assert cell(impatient, Slow(0, keeps_deadlines=True)).unscored == "impatient: raised TimeoutError"


def test_a_budget_that_is_used_up_ends_whoever_asks_about_it() -> None:
    class Poor:
        keeps_deadlines = True
        asked = 0

        async def __call__(self, template: JudgeTemplate, /, **slots: Any) -> Verdict:
            self.asked += 1
            if self.asked > 2:
                raise JudgeBudgetExceeded("calls 2 of 2")
            return Verdict(0.5)

    with scorer(once, Poor()) as made:
        rows = made.score([Row(TASK, str(number)) for number in range(4)])
        assert sorted(row.total is None for row in rows) == [False, False, True, True]
        assert [row.rewards["once"].unscored for row in rows].count("once: calls 2 of 2") == 2
        with pytest.raises(JudgeBudgetExceeded):
            made.check_budget(rows, max_unscored=1.0)
        assert made.take_calls() == []
