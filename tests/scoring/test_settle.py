"""Credit that no later text can earn anew: by hand, and by texts put together at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Domain, Piece, Reward, Rubric, Score, Scored, Span, Task, Unscored
from honewise.rewards import tagged
from honewise.scoring import Row, Scorer
from honewise.scoring.outcome import Outcome
from honewise.scoring.settle import MOST_TURNS, Turn, in_turn, settled

TASK = Task("t", {}, {"word": "abc"})


def parse(text: str, _: Task = TASK) -> Completion:
    said = tagged(text, "answer")
    return Completion(text, None) if said is None else Completion(text, said.text, {"answer": said})


def letters(task: Task, completion: Completion) -> Any:
    """A third for each letter of the last answer that is right; by request, nothing at all."""
    said = completion.pieces.get("answer", Piece(""))
    if "?" in said.text:
        return Unscored("asked for")
    right = [i for i, (a, b) in enumerate(zip(said.text, task.reference["word"], strict=False)) if a == b]
    return Score(spans=[said.slice(i, i + 1).pays(1 / 3, "letter") for i in right]) if right else Score(terminal=-0.25)


def together(tasks: list[Task], completions: list[Completion]) -> list[Any]:
    return [letters(task, completion) for task, completion in zip(tasks, completions, strict=True)]


DOMAIN = Domain(
    prompt=lambda task: [{"role": "user", "content": task.id}],
    parse=parse,
    gold=lambda task: f"<answer>{task.reference['word']}</answer>",
    samples=lambda split: [TASK],
    rewards=[
        Reward(fn=letters, name="letters", bounds=(-1.0, 1.0)),
        Reward(fn=together, name="together", bounds=(-1.0, 1.0)),
    ],
    rubrics={"plain": Rubric({"letters": 1.0, "together": 1.0})},
)


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer(DOMAIN, workers=0) as made:
        yield made


def spans(scored: Scored, name: str = "letters") -> list[tuple[str, float]]:
    text = scored.completion.text
    return [(text[s.start : s.end], round(s.value, 3)) for s in scored.rewards[name].spans]


def test_an_answer_is_paid_what_it_adds_and_charged_what_it_takes(scorer: Scorer) -> None:
    texts = [
        "<answer>abx</answer>",
        "<answer>abx</answer> no: <answer>abc</answer>",
        "<answer>abc</answer><answer>xxc</answer>",
        "<answer>abc</answer><answer>xyz</answer>",
        "<answer>ab?</answer><answer>abc</answer>",
        "<answer>xyz</answer><answer>ab</answer>",
    ]
    rows = scorer.score([Row(TASK, text) for text in texts])
    assert [spans(row) for row in rows] == [
        [("a", 0.333), ("b", 0.333)],
        [("a", 0.333), ("b", 0.333), ("a", 0.333), ("b", 0.333), ("c", 0.333), ("a", -0.667)],
        [("a", 0.333), ("b", 0.333), ("c", 0.333), ("c", 0.333), ("x", -1.0)],
        [("a", 0.333), ("b", 0.333), ("c", 0.333), ("x", -1.0)],
        [("a", 0.333), ("b", 0.333), ("c", 0.333)],
        [("a", 0.333), ("b", 0.333)],
    ]
    assert [spans(row, "together") for row in rows] == [spans(row) for row in rows]
    assert [row.rewards["letters"].value for row in rows] == pytest.approx([2 / 3, 1, 1 / 3, -0.25, 1, 2 / 3])
    assert [row.rewards["letters"].terminal for row in rows] == [0, 0, 0, -0.25, 0, 0]


PARTS = [
    "<answer>abc</answer>",
    "<answer>abz</answer>",
    "<answer>zzz</answer>",
    "<answer>a",
    "</answer>",
    " ",
    "abc",
    "é🙂",
]


@given(
    st.lists(st.sampled_from(PARTS), max_size=5),
    st.sampled_from(PARTS[:2]),
    st.lists(st.sampled_from(PARTS), max_size=4),
)
def test_what_is_written_later_leaves_what_an_answer_earned(
    scorer: Scorer, before: list[str], said: str, after: list[str]
) -> None:
    first = "".join([*before, said])
    whole = "".join([first, *after])
    one, both = scorer.score([Row(TASK, first), Row(TASK, whole)])
    for name in ("letters", "together"):
        found = both.rewards[name]
        assert found.value == pytest.approx(letters(TASK, parse(whole)).value, abs=1e-9), "the sum is that of the text"
        assert all(0 <= span.start < span.end <= len(whole) for span in found.spans)
        standing = math.fsum(span.value for span in found.spans if span.start < len(first))
        assert standing == pytest.approx(math.fsum(s.value for s in one.rewards[name].spans), abs=1e-9)


def test_turns_end_behind_what_closes_an_answer() -> None:
    text = "So <answer>a</answer>\n```\n, or <answer>b</answer> <answer></answer>."
    turns = in_turn(parse, parse(text))
    assert [turn.start for turn in turns] == [0, text.index("\n, or"), text.index(" <answer></")]
    assert [turn.answer for turn in turns] == [text.index("a</"), text.index("b</"), text.index("</answer>.")]
    assert [turn.completion.answer for turn in turns] == ["a", "b", ""]
    assert turns[-1].completion.text == text


@pytest.mark.parametrize("text", ["", "a", "<answer>a</answer> and more", "</answer><answer>", "<answer></answer>"])
def test_one_answer_is_one_turn(text: str) -> None:
    (turn,) = in_turn(parse, parse(text))
    assert (turn.start, turn.completion) == (0, parse(text))


def test_of_many_answers_the_last_ones_are_told_apart() -> None:
    turns = in_turn(parse, parse("<answer>a</answer>" * 50))
    assert len(turns) == MOST_TURNS
    assert [turn.start // 18 for turn in turns] == [0, *range(43, 50)]


def test_a_piece_that_is_the_answer_will_do_and_a_failing_parser_ends_it() -> None:
    def otherwise(text: str) -> Completion | None:
        read = parse(text)
        return replace(read, pieces={"code": read.pieces["answer"]} if read.pieces else {})

    text = "<answer>a</answer><answer>b</answer>"
    assert [turn.start for turn in in_turn(otherwise, parse(text))] == [0, 18]
    assert len(in_turn(lambda _: None, parse(text))) == 1


def test_credit_outside_of_a_turn_is_settled_where_it_begins() -> None:
    """The form of an earlier part, paid once the text is whole, and a step that no longer counts."""
    first = Outcome(0.1, (Span(0, 2, 0.5, "step"), Span(3, 4, 0.25, "open")), seconds=0.5)
    last = Outcome(0.3, (Span(0, 2, 0.5, "step"), Span(2, 3, 0.125, "form"), Span(7, 9, 1.0, "open")), seconds=0.25)
    one, other = Turn(0, 2, Completion("")), Turn(6, 8, Completion(""))
    found = settled([(one, first), (other, last)])
    assert found.spans == (
        Span(0, 2, 0.5, "step"),
        Span(3, 4, 0.25, "open"),
        Span(7, 9, 1.0, "open"),
        Span(8, 9, 0.125 - 0.25, "in place of the answer before"),
    )
    assert (found.terminal, found.seconds) == (0.3, 0.75)
    assert found.value == pytest.approx(last.value)
    assert settled([(one, first)]) == first
