"""Credit that no later text can earn anew: by hand, and by texts put together at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Domain, Piece, Reward, Rubric, Score, Scored, Span, Task, Term, Unscored
from honewise.builtin.arithmetic import arithmetic
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


@pytest.mark.parametrize("count", [2, 8, 9, 20, 60])
def test_however_often_an_answer_is_written_its_credit_stays(scorer: Scorer, count: int) -> None:
    (row,) = scorer.score([Row(TASK, "<answer>abc</answer>" * count)])
    standing = sum(span.value for span in row.rewards["letters"].spans if span.start < 20)
    assert standing == pytest.approx(1)
    assert row.rewards["letters"].value == pytest.approx(1)


def test_a_closing_tag_too_many_changes_nothing(scorer: Scorer) -> None:
    (row,) = scorer.score([Row(TASK, "<answer>abc</answer></answer><answer>abc</answer>")])
    assert spans(row)[:3] == [("a", 0.333), ("b", 0.333), ("c", 0.333)]
    assert row.completion.pieces["answer"].start == 37


def test_reasoning_that_is_written_again_earns_nothing_anew() -> None:
    sums = arithmetic(reasoning=True, numbers=3)
    (task,) = islice(sums.samples("train"), 1)
    thought, said = sums.gold(task).split("</think>")
    thought += "</think>"
    with Scorer(sums, rubric=Rubric({"steps": 1.0, "digits": 1.0}), workers=0) as made:
        rows = made.score(
            [Row(task, text) for text in (thought * 2 + said, thought + said + thought, (thought + said) * 2)]
        )
    for row in rows:
        for name, end in (("steps", len(thought)), ("digits", len(row.completion.text))):
            assert sum(s.value for s in row.rewards[name].spans if s.start < end) == pytest.approx(1), name
            assert row.rewards[name].value == pytest.approx(1)


def test_a_gate_is_asked_for_every_turn() -> None:
    """Where it was closed the first time, the first answer was paid nothing."""

    def loud(completion: Completion) -> float:
        return float("!" in completion.text)

    domain = replace(DOMAIN, rewards=[Reward(fn=loud, name="loud"), *DOMAIN.rewards])
    rubric = Rubric({"loud": 0.0, "letters": Term(1.0, when="loud >= 1")})
    with Scorer(domain, rubric=rubric, workers=0) as made:
        texts = ("<answer>abc</answer>", "<answer>abc</answer> <answer>abc</answer>!")
        closed, opened = made.score([Row(TASK, text) for text in texts])
    assert closed.rewards["letters"].gated
    assert [s.start for s in opened.rewards["letters"].spans] == [29, 30, 31]


def test_a_batch_is_asked_once_more_and_told_about_how_many_tokens() -> None:
    asked: list[list[int]] = []

    def counted(completions: list[Completion]) -> list[Any]:
        asked.append([completion.tokens for completion in completions])
        return [Score(spans=[each.pieces["answer"].pays(0.5)]) for each in completions]

    domain = replace(DOMAIN, rewards=[Reward(fn=counted, name="counted")])
    text = "<answer>abc</answer>"
    with Scorer(domain, rubric=Rubric({"counted": 1.0}), workers=0) as made:
        made.score([Row(TASK, text * 2, tokens=10), Row(TASK, text, tokens=5), Row(TASK, text * 4, tokens=16)])
    assert asked == [[10, 5, 16], [5, 4, 8, 12]]


def test_what_an_earlier_answer_does_costs_the_last_one_nothing(tmp_path: Path) -> None:
    """An answer that hangs a reward, followed by a sound one: only what the sound one adds is not told apart."""
    file = tmp_path / "mine.py"
    file.write_text(
        "import time\nfrom honewise import Score, reward\n\n@reward(deadline=0.7)\ndef wary(completion):\n"
        "    said = completion.pieces['answer']\n    while said.text == '13':\n        time.sleep(0.01)\n"
        "    return Score(spans=[said.pays(1.0)])\n"
    )
    task = Task("t", {"expression": "5 + 7"}, {"answer": 12})
    rubric = Rubric({"wary": 1.0, "digits": 1.0})
    texts = ["<answer>13</answer><answer>12</answer>", "<answer>12</answer>", "<answer>12</answer><answer>12</answer>"]
    with Scorer("arithmetic", rubric=rubric, reward_files={"wary": f"{file}:wary"}, workers=1) as made:
        rows = made.score([Row(task, text) for text in texts])
    assert [row.rewards["wary"].value for row in rows] == [1, 1, pytest.approx(1)]
    assert [[s.start for s in row.rewards["wary"].spans] for row in rows] == [[27], [8], [8, 27, 27]]
    assert [s.start for s in rows[2].rewards["digits"].spans if s.value > 0] == [8, 9, 27, 28]


def test_turns_end_behind_what_closes_an_answer() -> None:
    text = "So <answer>a</answer>\n```\n, or <answer>b</answer> <answer></answer>."
    turns = in_turn(parse, parse(text))
    assert [turn.start for turn in turns] == [0, text.index("\n, or"), text.index(" <answer></")]
    assert [turn.part for turn in turns] == [text.index("a</"), text.index("b</"), text.index("</answer>.")]
    assert [turn.completion.answer for turn in turns] == ["a", "b", ""]
    assert turns[-1].completion.text == text


@pytest.mark.parametrize("text", ["", "a", "<answer>a</answer> and more", "</answer><answer>", "<answer></answer>"])
def test_one_answer_is_one_turn(text: str) -> None:
    (turn,) = in_turn(parse, parse(text))
    assert (turn.start, turn.completion) == (0, parse(text))


def test_of_many_answers_the_first_and_the_last_ones_are_told_apart() -> None:
    turns = in_turn(parse, parse("<answer>a</answer>" * 50))
    assert len(turns) == MOST_TURNS
    assert [turn.start // 18 for turn in turns] == [0, 1, *range(44, 50)]


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
        Span(8, 9, 0.125 - 0.25, "in place of what stood before"),
    )
    assert (found.terminal, found.seconds) == (0.3, 0.75)
    assert found.value == pytest.approx(last.value)
    assert settled([(one, first)]) == first
