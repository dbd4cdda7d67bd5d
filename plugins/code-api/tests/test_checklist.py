"""The checklist about API use: what the judge is shown, how its answers add up, and what is asked of nobody."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from honewise import Domain, JudgeError, Score, Task, UserError, load_judge
from honewise.testing import FakeEndpoint, FakeJudge, check_domain
from honewise_code_api.checklist import QUESTIONS, checklist, sheet_of
from honewise_code_api.replies import parse

PLAY = {"music.play": {"artist": ["Bach"], "minutes": [5]}}
GOOD = {name: question.good for name, question in QUESTIONS.items()}
BAD = {name: "no" if answer == "yes" else "yes" for name, answer in GOOD.items()}


def answers(said: Mapping[str, str]) -> str:
    return "Answers:\n" + "\n".join(f"{name}: {word}" for name, word in said.items())


def asked(task: Task, code: str, judge: Any, **options: Any) -> Score:
    """The ``Score`` of some code by a judge."""

    async def ask() -> Score:
        found: Score = await checklist.fn(task, parse(f"<answer>\n{code}\n</answer>", task), judge, **options)
        return found

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("turned", "value"),
    [
        ({}, 1.0),
        (BAD, 0.0),
        ({"exists": "no"}, 9 / 11),
        ({"surplus": "yes", "placeholder": "Yes."}, 9 / 11),
        ({"complete": "n/a", "values": "not applicable"}, 1.0),
        ({"complete": "n/a", "values": "n/a", "fits": "no"}, 6 / 8),
    ],
)
def test_answers_add_up_by_weight(ask: Callable[..., Task], turned: Mapping[str, str], value: float) -> None:
    said = {**GOOD, **turned}
    found = asked(ask(PLAY), "music.play(artist='Bach', minutes=5)", FakeJudge([answers(said)]))
    assert found.value == pytest.approx(value)
    applies = {name: word for name, word in said.items() if word not in ("n/a", "not applicable")}
    assert found.parts == {name: float(word.strip(".").lower() == GOOD[name]) for name, word in applies.items()}
    assert all((name in found.feedback) == (part == 0.0) for name, part in found.parts.items())


def test_the_judge_sees_what_the_policy_saw_and_no_reference(ask: Callable[..., Task]) -> None:
    task = replace(ask(PLAY), inputs={**ask(PLAY).inputs, "question": "Five minutes of the composer, please."})
    with FakeEndpoint(answers({**GOOD, "fits": "no"})) as endpoint:
        judge = load_judge({"url": endpoint.url, "model": "any", "cache": False})
        found = asked(task, "stop()  # {{known}}", judge)
    assert found.value == pytest.approx(9 / 11)
    (request,) = endpoint.requests
    text = request["messages"][0]["content"]
    assert "Five minutes of the composer, please." in text
    assert '"name": "music.play"' in text
    assert "stop()  # {{known}}" in text
    assert "Bach" not in text, "the accepted values are the reference's"
    assert all(f"- {name}: {question.text}" in text for name, question in QUESTIONS.items())


def test_a_hub_has_no_list_and_tasks_without_functions_say_so() -> None:
    said = []
    for inputs in ({"question": "Hear."}, {"question": "Hear.", "functions": []}):
        judge = FakeJudge([1.0])
        assert asked(Task("0", inputs, {"api_call": "hub.load('a')"}), "hub.load('a')", judge).value == 1.0
        said.append(str(judge.calls[0].slots["known"]))
    assert "there is no list" in said[0]
    assert said[1] == "(nothing)"


def test_what_is_no_code_asks_nobody(ask: Callable[..., Task]) -> None:
    judge = FakeJudge()
    assert [asked(ask(PLAY), text, judge).value for text in ("", "Verdict: yes", "Thought process:")] == [0.0] * 3
    assert not judge.calls


def test_no_call_at_all_is_an_answer(ask: Callable[..., Task]) -> None:
    judge = FakeJudge([1.0])
    assert asked(ask(), "[]", judge).value == 1.0
    assert len(judge.calls) == 1


@pytest.mark.parametrize("reply", ["yes", answers({**GOOD, "fits": "rather"}), answers(dict.fromkeys(GOOD, "n/a"))])
def test_a_sheet_that_is_not_filled_in_is_nobodys_score(ask: Callable[..., Task], reply: str) -> None:
    with pytest.raises(JudgeError):
        asked(ask(PLAY), "stop()", FakeJudge([reply]))


def test_a_call_for_each_question(ask: Callable[..., Task]) -> None:
    judge = FakeJudge([f"Verdict: {word}" for word in BAD.values()])
    found = asked(ask(PLAY), "stop()", judge, each=True)
    assert (found.value, len(judge.calls)) == (0.0, len(QUESTIONS))
    pairs = zip(QUESTIONS.values(), judge.calls, strict=True)
    assert all(question.text in call.template.form for question, call in pairs)


def test_questions_of_ones_own(ask: Callable[..., Task]) -> None:
    own = {"short": "Is it short?", "rude": {"text": "Is it rude?", "weight": 3, "good": "no"}}
    found = asked(ask(PLAY), "stop()", FakeJudge([answers({"short": "yes", "rude": "yes"})]), questions=own)
    assert (found.value, found.parts) == (0.25, {"short": 1.0, "rude": 0.0})
    assert found.feedback == "against it: rude"


@pytest.mark.parametrize(
    ("questions", "said"),
    [
        ([], "it must be {id: text}"),
        ({}, "at least one question"),
        ({"a": ""}, "question 'a' is ''"),
        ({"a": {"text": "A?", "wieght": 2}}, "has the key 'wieght'; there are text, weight, good"),
        ({"a": {"text": "A?", "weight": 0}}, "must be a number above 0"),
        ({"a": {"text": "A?", "good": True}}, "allowed are 'yes' and 'no'"),
        ({"a: b": "A?"}, "without a colon"),
    ],
)
def test_bad_questions_are_told(questions: Any, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        sheet_of(questions)


def test_the_domain_keeps_the_contract_with_a_judge(calls: Domain) -> None:
    assert check_domain(calls, tasks=list(calls.samples("train"))[::200], judge=FakeJudge(otherwise=1.0))
