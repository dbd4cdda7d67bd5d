"""Scores, expected scores and mapped verdicts, of a model over HTTP."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from judge_talk import HERE, choice, run, scripted, shown, talk

from honewise.contracts import Task, Verdict
from honewise.errors import JudgeError, UserError
from honewise.judges import ExpectedScore, Pointwise, VerdictMap
from honewise.testing import FakeJudge

FILE = "judge_templates/answer.md"
SLOTS = {"question": "2+2?", "answer": "It is 4."}
SCORE = Pointwise(FILE, package=HERE)


def uniform(low: int = 1, high: int = 10) -> dict[str, Any]:
    scores = range(low, high + 1)
    return choice((str(low), {str(score): 1 / len(scores) for score in scores}))


def test_a_score_on_the_stated_scale() -> None:
    with talk(lambda text: "Right.\nScore: 7") as (judge, endpoint):
        verdict = run(lambda: SCORE(judge, **SLOTS), judge)
    assert (verdict.value, verdict.rationale) == (0.7, "Right.")
    text = endpoint.requests[0]["messages"][0]["content"]
    assert shown(text) == SLOTS
    assert text.endswith("Score: <a number from 0 to 10>")
    assert SCORE.render(**SLOTS).text == text
    assert SCORE.parse("Score: 3").value == 0.3


def test_a_score_off_the_scale_is_asked_for_again_and_then_unscored() -> None:
    with (
        talk(lambda text: "Score: 11") as (judge, endpoint),
        pytest.raises(JudgeError, match="11 is not between 0 and 10"),
    ):
        run(lambda: SCORE(judge, **SLOTS), judge)
    assert len(endpoint.requests) == 2


def test_several_samples_are_averaged_and_each_is_a_call() -> None:
    replies = itertools.cycle(["Score: 4", "Score: 8", "no idea\nnone"])
    three = Pointwise(FILE, package=HERE, samples=2, rationale=False, to=(-1, 1))
    with talk(lambda text: next(replies)) as (judge, endpoint):
        verdict = run(lambda: three(judge, **SLOTS), judge)
    assert verdict.value == pytest.approx((-0.2 + 0.6) / 2)
    assert [request["temperature"] for request in endpoint.requests] == [1.0, 1.0]
    assert endpoint.requests[0]["messages"][0]["content"].endswith("Reply with a number from 0 to 10 and nothing else.")


def test_the_expected_score_and_its_scale() -> None:
    paper = ExpectedScore(FILE, package=HERE, to=(-1, 1))
    cases = [(uniform(), 0.0), (choice(("10", {"10": 1.0})), 1.0), (choice(("1", {"1": 0.5, "10": 0.5})), 0.0)]
    for reply, value in cases:
        with talk(lambda text, reply=reply: reply) as (judge, endpoint):  # type: ignore[misc]
            verdict = run(lambda judge=judge: paper(judge, **SLOTS), judge)  # type: ignore[misc]
        assert verdict.value == pytest.approx(value)
        assert verdict.confidence == pytest.approx(1.0)
        assert endpoint.requests[0]["top_logprobs"] == 20
    expected = 1 * 0.1 + 7 * 0.6 + 8 * 0.3
    with talk(lambda text: choice(("7", {"7": 0.6, "8": 0.3, "1": 0.1, "10": 1e-9}))) as (judge, _):
        assert run(lambda: paper(judge, **SLOTS), judge).value == pytest.approx((expected - 5.5) / 4.5, abs=1e-6)


def test_missing_mass_is_left_out_and_too_much_of_it_is_unscored() -> None:
    nine = ExpectedScore(FILE, package=HERE, low=1, high=9)
    with talk(lambda text: choice(("7", {"7": 0.4, "3": 0.2, "Sure": 0.4}))) as (judge, _):
        verdict = run(lambda: nine(judge, **SLOTS), judge)
    assert verdict.value == pytest.approx(((7 * 0.4 + 3 * 0.2) / 0.6 - 1) / 8)
    assert verdict.confidence == pytest.approx(0.6)
    with (
        talk(lambda text: choice(("7", {"7": 0.3, "Sure": 0.7}))) as (judge, _),
        pytest.raises(JudgeError, match=r"only 0\.30 of the probability is on a verdict, 0\.5 is needed"),
    ):
        run(lambda: nine(judge, **SLOTS), judge)


def test_the_expected_score_after_a_rationale() -> None:
    reasoned = ExpectedScore(FILE, package=HERE, high=9, rationale=True)
    reply = choice(("It is right", {}), (".\n", {}), ("Score", {}), (":", {}), (" 9", {" 9": 0.5, " 5": 0.5}))
    with talk(lambda text: reply) as (judge, _):
        verdict = run(lambda: reasoned(judge, **SLOTS), judge)
    assert verdict.value == pytest.approx(0.75)
    assert verdict.rationale == "It is right."


@pytest.mark.parametrize(("without", "calls"), [("refuse", 1), ("verdict", 1), ("samples", 5)])
def test_without_log_probabilities(without: Any, calls: int) -> None:
    scores = itertools.cycle("59193")
    expected = ExpectedScore(FILE, package=HERE, high=9, without=without, samples=4)
    with talk(lambda text: next(scores)) as (judge, endpoint):
        if without == "refuse":
            with pytest.raises(JudgeError, match="gives no log-probabilities of verdicts; say without='samples'"):
                run(lambda: expected(judge, **SLOTS), judge)
        else:
            verdict = run(lambda: expected(judge, **SLOTS), judge)
            assert verdict.value == pytest.approx(0.5 if without == "verdict" else (8 + 0 + 8 + 2) / 4 / 8)
    assert len(endpoint.requests) == calls


WORDS = {"worse": -1.0, "same": -0.5, "better": 0.5, "solved": 1.0}


def mapped(replies: list[str], **settings: Any) -> Verdict:
    asked = VerdictMap(FILE, package=HERE, values=WORDS, samples=len(replies), **settings)
    said = iter(replies)
    judge = scripted(lambda text: next(said))
    return run(asked(judge, **SLOTS))


def test_verdicts_become_numbers_and_their_mean() -> None:
    verdict = mapped(["better", "Better.", "**solved**", "worse"])
    assert verdict.value == pytest.approx((0.5 + 0.5 + 1 - 1) / 4)
    assert verdict.confidence == 0.5


def test_the_mode_and_its_ties() -> None:
    replies = ["worse", "worse", "solved", "solved", "same"]
    assert mapped(replies, reduce="mode").value == -1.0
    assert mapped(replies, reduce="mode", ties="high").value == 1.0
    assert mapped(replies, reduce="mode", ties="mean").value == 0.0
    assert mapped([*replies, "worse"], reduce="mode", ties="high").value == -1.0


def test_samples_without_a_verdict_are_left_out_and_too_many_are_unscored() -> None:
    def model(text: str) -> str:
        return next(said)

    asked = VerdictMap(FILE, package=HERE, values=WORDS, samples=4, temperature=1.1)
    said = iter(["solved", "maybe", "better", "same", "never"])
    judge = scripted(model)
    verdict = run(asked(judge, **SLOTS))
    assert verdict.value == pytest.approx((1 + 0.5 - 0.5) / 3), "the one off the menu was asked again, in vain"
    assert {request.temperature for request in judge.client.backend.requests} == {1.1}  # type: ignore[attr-defined]
    said = itertools.chain(["solved"], itertools.repeat("maybe"))  # type: ignore[assignment]
    with pytest.raises(JudgeError, match=r"1 of 4 samples gave a verdict: .*'maybe' is none of"):
        run(asked(scripted(model), **SLOTS))


@pytest.mark.parametrize(
    ("protocol", "least"),
    [
        (SCORE, 0.0),
        (ExpectedScore(FILE, package=HERE, to=(-1, 1)), -1.0),
        (VerdictMap(FILE, package=HERE, values=WORDS), -1.0),
    ],
    ids=["score", "expected", "mapped"],
)
def test_trivial_answers_get_the_least_without_a_call(protocol: Any, least: float) -> None:
    task = Task("t", {}, prompt=({"role": "user", "content": "Please add two and two, and say what it is."},))
    judge = FakeJudge()
    for answer in ("", ":", "Thought process:", "It cannot be determined.", task.prompt[0]["content"], "Score: 10"):
        verdict = asyncio.run(protocol(judge, task=task, question="2+2?", answer=answer))
        assert verdict.value == least
        assert verdict.rationale.startswith("trivial: ")
    echo = "Answer answer\nHow good is the answer?"
    assert asyncio.run(protocol(judge, task=task, question="2+2?", answer=echo)).rationale == "trivial: judge"
    assert not judge.calls


def test_the_guard_can_be_taken_away() -> None:
    bare = Pointwise(FILE, package=HERE, guard=False)
    judge = FakeJudge([0.25])
    assert asyncio.run(bare(judge, question="2+2?", answer=":")).value == 0.25


def test_slots_that_do_not_fit_are_told() -> None:
    with pytest.raises(UserError, match="placeholder 'question' has no value"):
        run(SCORE(scripted(lambda text: "Score: 1"), answer="four"))
    assert SCORE.slots == ("question", "answer")
    assert SCORE.templates == (SCORE.template,)


def test_a_stand_in_of_a_plugins_tests_is_taken_at_its_word() -> None:
    for protocol in (SCORE, ExpectedScore(FILE, package=HERE), VerdictMap(FILE, package=HERE, values=WORDS, samples=3)):
        judge = FakeJudge(otherwise=0.4)
        assert asyncio.run(protocol(judge, **SLOTS)).value == pytest.approx(0.4)
