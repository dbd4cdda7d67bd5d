"""Pairs in both orders, of models over HTTP and in this process; the closed forms of RLAIF and Constitutional AI."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, choice, generation, run, scripted, shown, talk

from honewise.errors import JudgeError, UserError
from honewise.judges import Comparison, JudgeAnnotator, Pairwise, SelfReference, clamp, preference_of
from honewise.judges.protocols.pairwise import swapped
from honewise.testing import FakeJudge

FILE = "judge_templates/pair.md"
SLOTS = {"question": "2+2?", "first": "It is 4.", "second": "It is 5."}


def likes(text: str) -> Callable[[str], str]:
    """A model that prefers the answer with this in it, wherever it stands."""
    return lambda prompt: "1" if text in shown(prompt)["first"] else "2"


def test_both_orders_are_averaged() -> None:
    """P(1 | A, B) = .9 and P(1 | B, A) = .6 are p = .65."""

    def model(prompt: str) -> Any:
        p = 0.9 if "4" in shown(prompt)["first"] else 0.6
        return choice(("1", {"1": p, "2": 1 - p}))

    with talk(model) as (judge, endpoint):
        found = run(lambda: Pairwise(FILE, package=HERE, soft="logprobs")(judge, **SLOTS), judge)
    assert found.value == pytest.approx(0.65)
    assert found.confidence == pytest.approx(0.3)
    assert found.logit == pytest.approx(0.6190, abs=5e-5)
    assert found.orders == pytest.approx((0.9, 0.4))
    assert not found.agrees
    assert len(endpoint.requests) == 2
    seen = [shown(request["messages"][0]["content"]) for request in endpoint.requests]
    assert sorted(each["first"] for each in seen) == ["It is 4.", "It is 5."]
    assert all(each["question"] == "2+2?" for each in seen)


@pytest.mark.parametrize("always", ["1", "2"])
@pytest.mark.parametrize("orders", ["both", "agree"])
def test_a_judge_who_looks_at_the_place_alone_says_nothing(always: str, orders: Any) -> None:
    found = run(Pairwise(FILE, package=HERE, orders=orders)(scripted(lambda prompt: always), **SLOTS))
    assert (found.value, found.winner, found.strength(), found.agrees) == (0.5, None, 0.0, False)


def test_one_order_is_one_call_and_has_the_bias() -> None:
    judge = scripted(lambda prompt: "1")
    assert run(Pairwise(FILE, package=HERE, orders="one")(judge, **SLOTS)).value == 1.0
    assert len(judge.client.backend.requests) == 1


def test_agree_only_needs_two_orders_that_agree() -> None:
    protocol = Pairwise(FILE, package=HERE, orders="agree")
    assert run(protocol(scripted(likes("4")), **SLOTS)).value == 1.0
    assert run(protocol(scripted(likes("5")), **SLOTS)).value == 0.0
    assert preference_of([[0.9], [0.4]], orders="agree").value == 0.5
    assert preference_of([[0.9], [0.6]], orders="agree").value == 0.75


@pytest.mark.parametrize(("p", "clamped"), [(0.97, 0.6), (0.02, 0.4), (0.5, 0.5), (0.55, 0.55)])
def test_labels_after_a_rationale_are_clamped(p: float, clamped: float) -> None:
    assert clamp(p, (0.4, 0.6)) == clamped
    assert clamp(p, None) == p

    def model(prompt: str) -> Any:
        mine = p if "4" in shown(prompt)["first"] else 1 - p
        return generation(("Both say.\n", {}), ("Better:", {}), (" 1", {" 1": mine, " 2": 1 - mine}))

    settings: dict[str, Any] = {"package": HERE, "soft": "logprobs", "clamp": (0.4, 0.6)}
    found = run(Pairwise(FILE, rationale=True, **settings)(scripted(model), **SLOTS))
    assert found.value == pytest.approx(clamped)
    assert found.rationale == "Both say."
    plain = Pairwise(FILE, rationale=False, **settings)
    assert plain.clamp is None, "without a rationale nothing is cut"


def test_samples_are_the_empirical_rate() -> None:
    replies = {"It is 4.": itertools.cycle(["1", "1", "1", "2"]), "It is 5.": itertools.cycle(["2", "2", "1", "1"])}
    judge = scripted(lambda prompt: next(replies[shown(prompt)["first"]]))
    found = run(Pairwise(FILE, package=HERE, samples=4)(judge, **SLOTS))
    assert found.value == pytest.approx((0.75 + 0.5) / 2)
    assert len(found.replies) == 8
    requests = judge.client.backend.requests
    assert {request.temperature for request in requests} == {1.0}
    assert sorted(request.sample for request in requests) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_ties_are_on_offer_where_said() -> None:
    with_ties, without = Pairwise(FILE, package=HERE, ties=True), Pairwise(FILE, package=HERE)
    assert run(with_ties(scripted(lambda prompt: "Tie."), **SLOTS)).value == 0.5
    with pytest.raises(JudgeError, match="'Tie' is none of 1, 2"):
        run(without(scripted(lambda prompt: "Tie"), **SLOTS))


def test_one_order_without_a_verdict_leaves_it_unscored() -> None:
    """The other order alone would bring its bias in."""
    with pytest.raises(JudgeError):
        run(Pairwise(FILE, package=HERE)(scripted(lambda p: "1" if "4" in shown(p)["first"] else "hm\nhm"), **SLOTS))


def test_missing_log_probabilities_are_not_guessed() -> None:
    soft = Pairwise(FILE, package=HERE, soft="logprobs")
    with pytest.raises(JudgeError, match="gives no log-probabilities"):
        run(soft(scripted(lambda prompt: "1"), **SLOTS))
    with pytest.raises(JudgeError, match=r"only 0\.30 of the probability is on a verdict"):
        run(soft(scripted(lambda prompt: generation(("1", {"1": 0.2, "2": 0.1, "Well": 0.7}))), **SLOTS))


def test_equal_and_trivial_answers_are_settled_without_a_call() -> None:
    protocol, judge = Pairwise(FILE, package=HERE), scripted(lambda prompt: "1")
    cases = [("same", "same", 0.5), (":", "It is 5.", 0.0), ("It is 4.", "Thought process:", 1.0), ("", ":", 0.5)]
    for first, second, value in cases:
        found = run(protocol(judge, question="2+2?", first=first, second=second))
        assert found.value == value, (first, second)
    assert not judge.client.backend.requests
    free = Pairwise(FILE, package=HERE, guard=False)
    run(free(judge, question="2+2?", first=":", second="It is 5."))
    assert len(judge.client.backend.requests) == 2


def test_what_belongs_to_an_answer_changes_places_with_it() -> None:
    slots = {"first": "a", "second": "b", "first_outcome": "c", "second_outcome": "d", "question": "q", "first_x": "x"}
    assert swapped(slots) == {**slots, "first": "b", "second": "a", "first_outcome": "d", "second_outcome": "c"}
    with pytest.raises(UserError, match="give first= and second="):
        run(Pairwise(FILE, package=HERE)(FakeJudge(), question="q", first="a"))


def test_pictures_change_places_and_are_not_slots() -> None:
    asked: list[list[str]] = []

    def model(messages: Any) -> str:
        asked.append([part["image_url"]["url"] for part in messages[0]["content"][1:]])
        return "1"

    from judge_world import judge_at

    from honewise.testing import FakeEndpoint

    pictures = {"first_images": ["data:image/png;base64,QQ=="], "second_images": ["data:image/png;base64,Qg=="]}
    with FakeEndpoint(model) as endpoint, judge_at(endpoint.url) as judge:
        found = run(lambda: Pairwise(FILE, package=HERE)(judge, question="q", first="a", second="a", **pictures), judge)
    assert found.value == 0.5
    assert sorted(asked) == sorted([["data:image/png;base64,QQ==", "data:image/png;base64,Qg=="],
                                    ["data:image/png;base64,Qg==", "data:image/png;base64,QQ=="]])  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=4), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_swapping_the_answers_turns_the_label_round(one: list[float], other: list[float]) -> None:
    there = preference_of([one, other])
    back = preference_of([[1 - p for p in other], [1 - p for p in one]])
    assert there.value + back.value == pytest.approx(1.0)
    assert there.agrees == back.agrees
    assert 0 <= there.value <= 1
    assert there.strength("log_odds") == pytest.approx(back.strength("log_odds"), abs=1e-6)


def test_strength_is_a_margin_for_reward_models() -> None:
    found = preference_of([[0.9], [0.8]])
    assert found.strength() == pytest.approx(0.7)
    assert found.strength("votes", 0.5) == pytest.approx(0.35)
    assert found.strength("log_odds") == pytest.approx((math.log(9) + math.log(4)) / 2)
    # The margin's loss at a gap of 1 and a strength of 1.2 - .7: log(1 + exp(.5 + .2 - 1)).
    assert math.log1p(math.exp(0.5 + 0.2 - 1)) == pytest.approx(0.554355, abs=5e-7)


def test_the_judge_answers_itself_first() -> None:
    """Self-Reference feedback: one answer of its own for each question, which both orders see."""

    def model(prompt: str) -> str:
        slots = shown(prompt)
        if "reference" not in slots:
            return "Mine: 4"
        assert slots["reference"] == "Mine: 4"
        return "1" if "4" in slots["first"] else "2"

    own = SelfReference.by("judge_templates/own.md", package=HERE)
    protocol = Pairwise("judge_templates/with_own.md", package=HERE, context={"reference": own})
    assert protocol.slots == ("question", "first", "second")
    judge = scripted(model)
    assert run(protocol(judge, **SLOTS)).value == 1.0
    assert len(judge.client.backend.requests) == 3
    same = run(protocol(scripted(lambda p: "Mine" if "reference" not in shown(p) else "1"), **SLOTS))
    assert same.strength() == 0.0, "a judge who goes by the place gives two answers no strength"


def test_a_stronger_judge_relabels() -> None:
    items = [Comparison("a", "2+2?", "It is 5.", "It is 4."), Comparison("b", "2+2?", "It is 4.", "It is 5.")]
    annotate = JudgeAnnotator(scripted(likes("4")), Pairwise(FILE, package=HERE))
    assert run(annotate(items)) == {"a": False, "b": True}
    undecided = JudgeAnnotator(scripted(lambda prompt: "1"), Pairwise(FILE, package=HERE))
    assert run(undecided(items)) == {}
