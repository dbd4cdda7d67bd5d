"""The toy domain: sums worked out by hand, credit where it is due, and what is asked of any domain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Domain, Score, Task, UserError
from honewise.builtin.arithmetic import arithmetic
from honewise.builtin.expressions import Step, parse_expression, random_expressions, work_out
from honewise.data import load_tasks
from honewise.errors import DataError
from honewise.scoring import Row, Scorer
from honewise.testing import check_domain, sample_rows

DOMAIN = arithmetic()
TASK = Task("0", {"expression": "12 + 7 * 3"}, {"answer": 33}, meta={"steps": 2})


def read(text: str) -> Completion:
    return DOMAIN.parse(text, TASK)


def pay(name: str, text: str, domain: Domain = DOMAIN) -> Score:
    reward = next(reward for reward in domain.rewards if reward.name == name)
    values = {"task": TASK, "completion": read(text)}
    score = reward(**{key: values[key] for key in reward.arguments})
    return score if isinstance(score, Score) else Score(float(score))


# Expressions.


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("1 + 2", ["1+2=3"]),
        ("12 + 7 * 3", ["7*3=21", "12+21=33"]),
        ("2 * 3 * 4", ["2*3=6", "6*4=24"]),
        ("1 - 2 - 3", ["1-2=-1", "-1-3=-4"]),
        ("2 * 3 - 4 * 5", ["2*3=6", "4*5=20", "6-20=-14"]),
        (" 0*9 ", ["0*9=0"]),
    ],
)
def test_products_first_then_from_left_to_right(text: str, steps: list[str]) -> None:
    assert [str(step) for step in work_out(text)] == steps


@given(st.lists(st.integers(0, 999), min_size=2, max_size=8), st.data())
def test_working_out_agrees_with_python(numbers: list[int], data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from("+-*")) for _ in numbers[1:]]
    text = "".join(f"{number}{sign}" for number, sign in zip(numbers, [*signs, ""], strict=True))
    products = [[numbers[0]]]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            products[-1].append(number)
        else:
            products.append([number if sign == "+" else -number])
    expected = 0
    for factors in products:
        value = 1
        for factor in factors:
            value *= factor
        expected += value
    assert work_out(text)[-1].result == expected
    assert all(step.true for step in work_out(text))


@pytest.mark.parametrize(
    "text",
    ["", "7", "+", "1 +", "+ 1", "1 2", "1 + + 2", "1 / 2", "(1 + 2)", "1 + x", "1 + ٢", "1.5 + 2", "1+" * 20 + "1"],
)
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_expression(text)


def test_random_expressions_are_different_and_the_same_each_time() -> None:
    first = list(random_expressions(3, 20, 500, seed=1))
    assert first == list(random_expressions(3, 20, 500, seed=1))
    assert len(set(first)) == 500
    assert first != list(random_expressions(3, 20, 500, seed=2))


def test_a_small_world_is_used_up() -> None:
    # 2 numbers of {0, 1} and 3 signs: 12 sums.
    assert len(set(random_expressions(2, 1, 500, seed=0))) == 12


def test_equal_steps_are_equal_in_either_order() -> None:
    assert Step(7, "*", 3, 21).key == Step(3, "*", 7, 21).key
    assert Step(7, "-", 3, 4).key != Step(3, "-", 7, 4).key


# Rewards.


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("<answer>33</answer>", 1.0),
        ("<answer> 33\n</answer>", 1.0),
        ("<answer>32</answer><answer>33</answer>", 1.0),
        ("<answer>33</answer><answer>32</answer>", 0.0),
        ("<answer>033</answer>", 1.0),
        ("<answer>33.0</answer>", 0.0),
        ("<answer>٣٣</answer>", 0.0),
        ("33", 0.0),
        ("<answer>" + "3" * 5000 + "</answer>", 0.0),
    ],
)
def test_correct(text: str, worth: float) -> None:
    assert pay("correct", text).value == worth


@pytest.mark.parametrize(
    ("said", "worth", "paid"),
    [
        ("33", 1.0, [8, 9]),
        ("3", 0.5, [8]),
        ("23", 0.5, [9]),
        ("32", 0.5, [8]),
        ("133", 2 / 3, [9, 10]),
        ("-33", 2 / 3, [9, 10]),
        ("7", 0.0, []),
        (" 33", 1.0, [9, 10]),
        ("x", 0.0, []),
    ],
)
def test_digits_are_paid_from_the_last(said: str, worth: float, paid: list[int]) -> None:
    score = pay("digits", f"<answer>{said}</answer>")
    assert score.value == pytest.approx(worth)
    assert [span.start for span in score.spans] == paid


@pytest.mark.parametrize(
    ("thought", "worth", "paid"),
    [
        ("7*3=21\n12+21=33", 1.0, [(7, 13), (14, 22)]),
        ("12+21=33\n7*3=21", 1.0, [(7, 15), (16, 22)]),
        ("3 * 7 = 21\n21+12=33", 1.0, [(7, 17), (18, 26)]),
        ("7*3=21\n7*3=21", 0.5, [(7, 13)]),
        ("7*3=22\n12+21=33", 0.0, []),
        ("7*3=21\n1+1=3\n12+21=33", 0.5, [(7, 13)]),
        ("7*3=21\n1+1=2\n12+21=33", 1.0, [(7, 13), (20, 28)]),
        ("first 7*3=21", 0.0, []),
        ("", 0.0, []),
    ],
)
def test_steps_are_paid_until_the_first_false_one(thought: str, worth: float, paid: list[tuple[int, int]]) -> None:
    score = pay("steps", f"<think>{thought}</think><answer>33</answer>")
    assert score.value == pytest.approx(worth)
    assert [(span.start, span.end) for span in score.spans] == paid


def test_feedback_says_which_step_is_false() -> None:
    assert pay("steps", "<think>7*3=22</think>").feedback == "7*3=22 is false"


def test_form_pays_each_tag() -> None:
    assert pay("form", "<think></think><answer></answer>").value == 1.0
    assert pay("form", "<answer>33</answer>").value == 0.5
    assert pay("answer_form", "<answer>33", arithmetic(reasoning=False)).value == 0.5


@given(st.text(alphabet="<>/think answer0123456789+-*=\n", max_size=120))
def test_no_wrong_completion_totals_as_much_as_a_right_one(text: str) -> None:
    with Scorer(DOMAIN, workers=0) as scorer:
        wrong, right = scorer.score([Row(TASK, text), Row(TASK, "<answer>33</answer>")])
    if not wrong.correct:
        assert wrong.total is not None
        assert right.total is not None
        assert wrong.total < right.total


# The domain.


@pytest.mark.parametrize(
    "options",
    [{}, {"reasoning": False}, {"numbers": 2, "largest": 9}, {"numbers": 8, "largest": 999_999}],
    ids=lambda options: json.dumps(options),
)
def test_contract(options: dict[str, object]) -> None:
    check_domain("arithmetic", options=options)


def test_samples_are_disjoint_and_of_the_promised_size() -> None:
    train = {task.inputs["expression"] for task in DOMAIN.samples("train")}
    held_out = {task.inputs["expression"] for task in DOMAIN.samples("held-out")}
    assert (len(train), len(held_out)) == (2000, 200)
    assert not train & held_out


def test_the_gold_completion() -> None:
    assert DOMAIN.gold(TASK) == "<think>7*3=21\n12+21=33</think><answer>33</answer>"
    assert arithmetic(reasoning=False).gold(TASK) == "<answer>33</answer>"


@pytest.mark.parametrize("options", [{"numbers": 1}, {"numbers": 21}, {"largest": 0}, {"largest": 10**6}])
def test_options_without_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="must lie between"):
        arithmetic(**options)  # type: ignore[arg-type]


def test_reading_a_file_of_sums(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"expression": "1 + 2"}\n\n{"id": 7, "expression": "2*3", "answer": 6}\n')
    read = load_tasks(DOMAIN, path=tmp_path / "sums.jsonl")
    assert read.format == "sums"
    assert [(task.id, task.reference) for task in read] == [("0", {"answer": 3}), ("7", {"answer": 6})]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"expression": "1 + 2", "answer": 4}', r"sums.jsonl:2: 1 \+ 2 is 3, not 4"),
        ('{"expression": "1 / 2"}', "sums.jsonl:2: expected one of"),
        ('{"expression": 3}', "sums.jsonl:2: 'expression' must be text"),
        ("{", "sums.jsonl:2: not JSON"),
    ],
)
def test_a_faulty_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"expression": "1 + 2"}\n' + line + "\n")
    with pytest.raises(DataError, match=said):
        load_tasks(DOMAIN, path=tmp_path / "sums.jsonl", format="sums")


def test_accuracy_by_number_of_steps() -> None:
    rows = sample_rows(DOMAIN, limit=2)
    with Scorer(DOMAIN, workers=0) as scorer:
        scored = scorer.score([Row(row.task, row.completion.text) for row in rows])
    numbers = DOMAIN.metrics["accuracy"](scored)
    golds = sum(row.kind == "gold" for row in rows)
    assert numbers["accuracy"] == numbers["2 steps"] == golds / len(rows)
    assert DOMAIN.metrics["accuracy"]([]) == {}
