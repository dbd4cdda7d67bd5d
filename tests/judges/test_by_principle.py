"""Pairs compared by principles: what Constitutional AI and SALMON have in common, and where they differ."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, generation, run, scripted, shown

from honewise.judges import ByPrinciple, Pairwise, PrincipleScore, load_constitution
from honewise.judges.protocols.by_principle import principle_score, strongest

FILE = "judge_templates/pair.md"
SLOTS = {"question": "q", "first": "a long answer", "second": "short"}
PRINCIPLES = load_constitution(
    [
        {"id": "long", "prefer": "Choose the longer one.", "against": "Choose the shorter one."},
        {"id": "short", "prefer": "Choose the briefer one."},
        {"id": "place", "prefer": "Choose any."},
    ]
)


def only(*names: str) -> Any:
    return load_constitution([{"id": name, "prefer": PRINCIPLES.get(name).prefer} for name in names])


def model(prompt: str) -> Any:
    """Certain by the first principle (.99), less so by the second (.8), and by the place alone otherwise."""
    slots = shown(prompt)
    longer_first = len(slots["first"]) > len(slots["second"])
    p = 0.9
    if "Choose the longer one." in prompt:
        p = 0.99 if longer_first else 0.01
    elif "Choose the briefer one." in prompt:
        p = 0.2 if longer_first else 0.8
    return generation(("1", {"1": p, "2": 1 - p}))


def by(constitution: Any, **settings: Any) -> ByPrinciple:
    return ByPrinciple(FILE, package=HERE, constitution=constitution, soft="logprobs", **settings)


def test_the_mean_over_principles() -> None:
    judge = scripted(model)
    found = run(by(PRINCIPLES, count="all")(judge, **SLOTS))
    assert found.value == pytest.approx((0.99 + 0.2 + 0.5) / 3)
    assert [each.principle for each in found.principles] == ["long", "short", "place"]
    assert len(judge.client.backend.requests) == 6
    assert not found.agrees


def test_equal_principles_are_as_one() -> None:
    same = load_constitution([{"id": f"p{n}", "prefer": "Choose the briefer one."} for n in range(16)])
    assert run(by(same, count="all")(scripted(model), **SLOTS)).value == pytest.approx(
        run(by(only("short"))(scripted(model), **SLOTS)).value
    )


def test_the_strongest_decides_and_orders_that_conflict_say_nothing() -> None:
    found = run(by(PRINCIPLES, count="all", decide="strongest")(scripted(model), **SLOTS))
    assert (found.value, found.decided_by) == (1.0, "long")
    assert {each.principle: each.score for each in found.principles}["place"] == 0.0
    assert run(by(only("short"), decide="strongest")(scripted(model), **SLOTS)).value == 0.0
    undecided = run(by(only("place"), decide="strongest")(scripted(model), **SLOTS))
    assert (undecided.value, undecided.decided_by) == (0.5, "")


def test_one_principle_without_noise_is_a_pair_that_must_agree() -> None:
    for name, answers in itertools.product(("long", "short", "place"), (SLOTS, {**SLOTS, "first": "x"})):
        plain = Pairwise(FILE, package=HERE, principle=PRINCIPLES.get(name).prefer, soft="logprobs", orders="agree")
        pair = run(plain(scripted(model), **answers))
        found = run(by(only(name), decide="strongest")(scripted(model), **answers))
        assert found.winner == pair.winner


def test_negation_turns_scores_round_and_nothing_else() -> None:
    plain = run(by(PRINCIPLES, count="all", decide="strongest")(scripted(model), **SLOTS))
    negated = run(by(PRINCIPLES, count="all", decide="strongest", negation=1.0)(scripted(model), **SLOTS))
    assert [each.score for each in negated.principles] == pytest.approx([-each.score for each in plain.principles])
    assert negated.value == 1 - plain.value
    assert all(each.negated for each in negated.principles)
    assert [each.probability for each in negated.principles] == [each.probability for each in plain.principles]
    half = by(PRINCIPLES, count="all", decide="strongest", negation=0.5)
    rows = [run(half(scripted(model), **{**SLOTS, "question": f"q{n}"})) for n in range(60)]
    shares = [sum(row.principles[n].negated for row in rows) / 60 for n in range(3)]
    assert all(0.3 < share < 0.7 for share in shares)


def test_principles_are_told_in_the_form_in_which_they_were_applied() -> None:
    """What an instructable reward model reads beside the prompt."""
    protocol = by(PRINCIPLES, count="all", decide="strongest")
    plain = run(protocol(scripted(model), **SLOTS))
    assert protocol.told(plain) == tuple(each.prefer for each in PRINCIPLES.principles)
    protocol = by(PRINCIPLES, count="all", decide="strongest", negation=1.0)
    told = protocol.told(run(protocol(scripted(model), **SLOTS)))
    assert told[0] == "Choose the shorter one."
    assert told[1] == "Choose the answer that fits this less well: Choose the briefer one."


def test_noise_turns_labels_round_as_often_as_said() -> None:
    noisy = by(only("long"), decide="strongest", noise=0.25)
    rows = [run(noisy(scripted(model), **{**SLOTS, "question": f"q{n}"})) for n in range(200)]
    assert all(row.value == 1.0 - row.noisy for row in rows)
    assert sum(row.noisy for row in rows) / 200 == pytest.approx(0.25, abs=0.1)


def test_how_many_are_drawn() -> None:
    many = load_constitution([{"id": f"p{n}", "prefer": f"P{n}"} for n in range(20)])
    protocol = ByPrinciple(FILE, package=HERE, constitution=many, count="geometric")
    counts = [len(protocol.chosen(str(n))) for n in range(2000)]
    assert min(counts) == 1
    assert max(counts) == 8
    assert counts.count(1) / 2000 == pytest.approx(0.2, abs=0.03)
    assert counts.count(2) / 2000 == pytest.approx(0.16, abs=0.03)
    assert protocol.chosen("x") == protocol.chosen("x")


def test_draws_do_not_depend_on_who_stands_first() -> None:
    protocol = by(PRINCIPLES, count=1, decide="strongest", negation=0.5, noise=0.3)
    for n in range(20):
        slots = {**SLOTS, "question": f"q{n}"}
        there = run(protocol(scripted(model), **slots))
        back = run(protocol(scripted(model), question=f"q{n}", first=SLOTS["second"], second=SLOTS["first"]))
        assert [each.principle for each in there.principles] == [each.principle for each in back.principles]
        assert there.value == 1 - back.value


def test_trivial_answers_lose_without_a_call() -> None:
    judge = scripted(model)
    assert run(by(PRINCIPLES)(judge, question="q", first=":", second="It is 5.")).value == 0.0
    assert not judge.client.backend.requests


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=6))
def test_negating_everything_negates_the_label(values: list[float]) -> None:
    scores = [PrincipleScore(str(n), value) for n, value in enumerate(values)]
    label, name = strongest(scores)
    turned, same = strongest([PrincipleScore(each.principle, -each.score) for each in scores])
    assert (label + turned, name) == (1.0, same)
    assert strongest(scores, noisy=True)[0] == (turned if label != 0.5 else 0.5)


def test_a_score_needs_one_sign() -> None:
    assert principle_score([0.9, 0.8]) == pytest.approx((2.1972 + 1.3863) / 2, abs=1e-4)
    assert principle_score([0.9, 0.5]) == 0.0
    assert principle_score([]) == 0.0
