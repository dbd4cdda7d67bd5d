"""Checklists and rubrics of several criteria."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, run, scripted

from honewise.errors import JudgeError, UserError
from honewise.judges import Checklist, Criteria, Criterion, Question

FILE = "judge_templates/answer.md"
SLOTS = {"question": "2+2?", "answer": "It is 4."}
QUESTIONS: dict[str, Question | str] = {
    "right": Question("Is it right?", weight=2),
    "short": "Is it short?",
    "rude": Question("Is it rude?", good="no"),
}
CRITERIA: dict[str, Criterion | str] = {
    "clear": Criterion("How clear is it?", weight=3, levels={1: "not at all", 5: "to a child"}),
    "kind": Criterion("How kind is it?", low=0, high=10),
}


@pytest.mark.parametrize(
    ("said", "share", "balance"),
    [
        (("yes", "yes", "no"), 1.0, 1.0),
        (("no", "no", "yes"), 0.0, -1.0),
        (("yes", "no", "yes"), 0.5, 0.0),
        (("yes", "no", "n/a"), 2 / 3, 1 / 3),
        (("No.", "**yes**", "N/A"), 1 / 3, -1 / 3),
    ],
)
def test_shares_and_balances_of_weights(said: tuple[str, str, str], share: float, balance: float) -> None:
    reply = "Answers:\n" + "\n".join(f"{name}: {word}" for name, word in zip(QUESTIONS, said, strict=True))
    found = run(Checklist(FILE, package=HERE, questions=QUESTIONS)(scripted(lambda prompt: reply), **SLOTS))
    assert found.value == pytest.approx(share)
    signed = Checklist(FILE, package=HERE, questions=QUESTIONS, total="balance")
    assert run(signed(scripted(lambda prompt: reply), **SLOTS)).value == pytest.approx(balance)
    assert set(found.parts) == set(QUESTIONS)
    assert found.score().parts == {name: part for name, part in found.parts.items() if part is not None}


def test_each_question_in_a_call_of_its_own() -> None:
    asked: list[str] = []

    def model(prompt: str) -> str:
        asked.append(prompt)
        return "Well.\nVerdict: no" if "rude" in prompt else "Well.\nVerdict: yes"

    protocol = Checklist(FILE, package=HERE, questions=QUESTIONS, each=True, rationale=True)
    found = run(protocol(scripted(model), **SLOTS))
    assert (found.value, len(asked)) == (1.0, 3)
    assert found.rationale == "right: Well.\nshort: Well.\nrude: Well."
    assert all(sum(q in prompt for q in ("right?", "short?", "rude?")) == 1 for prompt in asked)
    assert len(protocol.templates) == 3
    with pytest.raises(JudgeError, match="nothing on the list applies"):
        run(protocol(scripted(lambda prompt: "Verdict: n/a"), **SLOTS))


@pytest.mark.parametrize(
    "reply",
    [
        "Answers:\nright: yes\nshort: yes",
        "Answers:\nright: yes\nshort: perhaps\nrude: no",
        "yes",
        "Answers:\nright: n/a",
    ],
)
def test_a_question_without_an_answer_leaves_all_unscored(reply: str) -> None:
    with pytest.raises(JudgeError):
        run(Checklist(FILE, package=HERE, questions=QUESTIONS)(scripted(lambda prompt: reply), **SLOTS))


def test_grades_on_their_own_scales() -> None:
    reply = "Good.\nGrades:\nclear: 4\nkind: 2/10"
    protocol = Criteria(FILE, package=HERE, criteria=CRITERIA)
    judge = scripted(lambda prompt: reply)
    found = run(protocol(judge, **SLOTS))
    assert found.parts == {"clear": 0.75, "kind": 0.2}
    assert found.value == pytest.approx((3 * 0.75 + 0.2) / 4)
    assert found.rationale == "Good."
    prompt = judge.client.backend.requests[0].messages[0]["content"]
    assert "- clear (1 to 5: 1 not at all, 5 to a child): How clear is it?" in prompt
    single = Criteria(FILE, package=HERE, criteria=CRITERIA, each=True)
    found = run(single(scripted(lambda prompt: "Verdict: 5" if "clear" in prompt else "Verdict: n/a"), **SLOTS))
    assert found.parts == {"clear": 1.0, "kind": None}
    assert found.value == 1.0
    with pytest.raises(JudgeError, match="no line says 'kind"):
        run(protocol(scripted(lambda prompt: "Grades:\nclear: 4"), **SLOTS))
    with pytest.raises(JudgeError, match="6 is not between 1 and 5"):
        run(protocol(scripted(lambda prompt: "Grades:\nclear: 6\nkind: 3"), **SLOTS))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["yes", "no", "n/a"]), st.integers(1, 9)), min_size=1, max_size=6))
def test_a_total_is_in_range_and_the_two_forms_agree(said: list[tuple[str, int]]) -> None:
    questions: Any = {f"q{i}": Question(f"Question {i}?", weight=weight) for i, (_, weight) in enumerate(said)}
    reply = "Answers:\n" + "\n".join(f"q{i}: {word}" for i, (word, _) in enumerate(said))
    forms = [Checklist(FILE, package=HERE, questions=questions, total=total) for total in ("share", "balance")]
    if all(word == "n/a" for word, _ in said):
        with pytest.raises(ValueError, match="nothing on the list applies"):
            forms[0].parse(reply)
        return
    share, balance = (form.parse(reply).value for form in forms)
    good = sum(weight for word, weight in said if word == "yes")
    bad = sum(weight for word, weight in said if word == "no")
    assert share == pytest.approx(good / (good + bad))
    assert balance == pytest.approx((good - bad) / (good + bad))


def test_what_cannot_be_a_list_is_refused() -> None:
    for questions, why in [
        ({}, "at least one"),
        ({"a: b": "?"}, "cannot begin a line"),
        ({"a": Question("?", 0)}, "more than 0"),
    ]:
        with pytest.raises(UserError, match=re.escape(why)):
            Checklist(FILE, package=HERE, questions=questions)
