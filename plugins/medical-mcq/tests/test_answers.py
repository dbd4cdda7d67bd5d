"""What the parser makes of answers that people labelled, and of those that nobody can make sense of."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Piece, Task
from honewise.data.formats import recognise
from honewise.testing import data_slice
from honewise_medical_mcq.language import letters_by_script
from honewise_medical_mcq.parse import eliminations, parse, read_confidence
from honewise_medical_mcq.readers import Settings, all_readers
from honewise_medical_mcq.tasks import gold_label, make_task

HOME = Path(__file__).parent / "answers"
LISTS = {"labelled": 250, "unseen": 100, "hard": 80}


def load(name: str) -> Any:
    return yaml.safe_load((HOME / f"{name}.yaml").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def tasks() -> dict[str, Task]:
    return {
        name: make_task(name, entry["question"], entry["options"], 0, labels=entry.get("labels"))
        for name, entry in load("questions").items()
    }


def fever(text: str) -> str | None:
    answer: str | None = parse(text, tasks()["fever"]).answer
    return answer


@pytest.mark.parametrize("name", LISTS)
def test_labelled_answers_are_read_as_people_read_them(name: str) -> None:
    rows = load(name)
    assert len(rows) >= LISTS[name]
    read = [(row, parse(row[2], tasks()[row[0]]).answer) for row in rows]
    missed = [(row, answer) for row, answer in read if answer != row[1]]
    guessed = [(row, answer) for row, answer in missed if answer is not None]
    assert not guessed
    assert len(missed) <= 0.01 * len(rows), missed


def test_the_lists_are_of_many_languages_and_scripts() -> None:
    rows = load("labelled")
    assert len({tasks()[row[0]].inputs["language"] for row in rows}) >= 8
    scripts = {script for row in rows for script in letters_by_script(row[2])}
    assert len(scripts & {"LATIN", "ARABIC", "DEVANAGARI", "CJK", "CYRILLIC", "HEBREW", "GREEK", "HANGUL"}) == 8


def test_pieces_stand_where_they_say() -> None:
    text = "<reasoning>\nB is wrong.\n</reasoning>\n<answer>\n(A) Ibuprofen\n</answer>\n<confidence>80%</confidence>"
    completion = parse(text, tasks()["fever"])
    assert completion.answer == "A"
    for piece in completion.pieces.values():
        assert text[piece.start : piece.end] == piece.text
    assert completion.pieces["reasoning"].text == "\nB is wrong.\n"
    assert completion.pieces["choice"].text == "A) Ibuprofen"
    assert read_confidence(completion.pieces["confidence"]) == 0.8
    plain = parse("Insulin lowers sugar. The answer is A.", tasks()["fever"])
    assert plain.pieces["reasoning"].text == "Insulin lowers sugar. The answer is "


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<answer>A</answer><confidence>0.25</confidence>", 0.25),
        ("The answer is A. Confidence: 90%", 0.9),
        ("پاسخ: الف. اطمینان: ۷۰٪", 0.7),
        ("答案是A。置信度：85%", 0.85),
        ("The answer is A.", None),
        ("<answer>A</answer><confidence>very</confidence>", None),
        ("<answer>A</answer><confidence>250</confidence>", None),
    ],
)
def test_stated_confidence(text: str, value: float | None) -> None:
    assert read_confidence(parse(text, tasks()["fever"]).pieces.get("confidence")) == value


@pytest.mark.parametrize(
    "text", ["I don't know.", "<answer>none</answer>", "نمی‌دانم", "لا أعرف الإجابة", "我不知道。", "Я не знаю."]
)
def test_abstaining_is_told_from_being_unclear(text: str) -> None:
    completion = parse(text, tasks()["fever"])
    assert completion.answer is None
    assert "abstention" in completion.pieces
    assert "abstention" not in parse("A or B", tasks()["fever"]).pieces


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("B is wrong. C cannot be the answer.", [1, 2]),
        ("B, C and D are ruled out.", [1, 2, 3]),
        ("We can exclude insulin.", [1]),
        ("A lowers fever. It could be B.", []),
        ("The answer is A, not D.", [3]),
    ],
)
def test_what_is_ruled_out(text: str, places: list[int]) -> None:
    found = eliminations(Piece(text, 5), tasks()["fever"])
    assert [place for place, _ in found] == places
    for _, piece in found:
        assert text[piece.start - 5 : piece.end - 5] == piece.text


def test_in_a_question_for_what_is_not_so_false_is_no_denial() -> None:
    assert eliminations(Piece("D is false."), tasks()["bone"]) == []
    assert parse("The answer is D. D is incorrect as a statement.", tasks()["bone"]).answer == "D"


SLICES = ["medmcqa", "medqa_us_4opt", "pubmedqa", "mmlu_med_en", "mmlu_med_ar"]
NOTHING = [
    "",
    " ",
    "I cannot answer this question.",
    "I'm sorry, but I can't help with that. Please consult a physician.",
    "I don't know.",
    "لا أعرف.",
    "A, B, C, D",
    "A B C D",
    "(A) (B) (C) (D)",
    "A\nB\nC\nD",
    "The answer is A, B, C or D.",
    "<answer>A B C D</answer>",
    "<answer>A</answer><answer>B</answer><answer>C</answer><answer>D</answer>",
    "\\boxed{A, B, C, D}",
    "أ، ب، ج، د",
    "yes, no, maybe",
]


@pytest.mark.parametrize("name", SLICES)
def test_public_rows(name: str) -> None:
    path, readers = data_slice(f"medical_mcq/{name}"), all_readers(Settings())
    for task in readers[recognise(path, readers)].read(path):  # type: ignore[union-attr]
        gold = gold_label(task)
        text = task.inputs["options"][task.reference["answer"]]
        forms = [f"<answer>{gold}</answer>", f"The answer is {gold}.", f"Answer: {gold}"]
        if text != gold:
            forms += [f"({gold}) {text}", f"The correct answer is {gold}. {text}"]
        for form in forms:
            assert parse(form, task).answer == gold, (task.id, form)
        assert parse(text, task).answer in (gold, None)
        for nothing in NOTHING:
            assert parse(nothing, task).answer is None, (task.id, nothing)


def test_a_letter_gets_one_verdict_in_both_languages() -> None:
    readers = all_readers(Settings())
    english, arabic = (data_slice(f"medical_mcq/mmlu_med_{code}") for code in ("en", "ar"))
    for path in sorted(arabic.glob("*.csv")):
        ours, theirs = (list(readers["mmlu"].read(folder / path.name)) for folder in (arabic, english))  # type: ignore
        for one, other in zip(ours, theirs, strict=False):
            for letter in "ABCD":
                for form in (letter, f"<answer>{letter}</answer>", f"The answer is {letter}."):
                    assert parse(form, one).answer == parse(form, other).answer == letter


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for name in ("fever", "walking", "fa"):
        completion = parse(text, tasks()[name])
        assert completion.text == text
        for piece in completion.pieces.values():
            assert text[piece.start : piece.end] == piece.text


PHRASES = [
    "The answer is {}",
    "not {}",
    "{}",
    "{} is wrong",
    "maybe {}",
    "Wait, ",
    "so ",
    "and ",
    "or ",
    "<answer>{}</answer>",
]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(PHRASES), st.sampled_from("ABCD"), st.sampled_from([". ", ", ", "\n"])), max_size=5
    )
)
def test_only_what_is_named_is_chosen(parts: list[tuple[str, str, str]]) -> None:
    text = "".join(phrase.format(letter) + stop for phrase, letter, stop in parts)
    answer = fever(text)
    assert answer is None or any(letter == answer and "{}" in phrase for phrase, letter, _ in parts)
    denied_alone = [letter for phrase, letter, _ in parts if phrase in ("not {}", "{} is wrong")]
    if answer is not None:
        kept = [letter for phrase, letter, _ in parts if phrase not in ("not {}", "{} is wrong", "maybe {}")]
        assert answer in kept, (text, denied_alone)


def test_an_option_that_is_a_digit_without_a_decimal_value_is_read() -> None:
    task = make_task("ethiopic", "Which sign?", ["፩", "፪", "፫", "፬"], 0)
    assert parse("option ፪", task).answer == "B"
