"""The other rewards, by hand, and what presets promise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Completion, Domain, Rubric, Score, Scored, Task, Unscored, UserError
from honewise.scoring import Row, Scorer
from honewise.scoring.outcome import Outcome
from honewise.scoring.rubric import bind_rubric, scored
from honewise.testing import FakeJudge
from honewise_physics.domain import physics
from honewise_physics.judging import read_place, read_steps
from honewise_physics.metrics import METRICS
from honewise_physics.parse import parse
from honewise_physics.presets import PRESETS
from honewise_physics.samples import tasks
from honewise_physics.symbolic import equivalent, progress
from honewise_physics.tasks import make_task, part
from honewise_physics.wording import meteor, rouge_l, words

TASK = make_task(
    "0",
    "?",
    [part("12", unit="N")],
    tolerance=0.01,
    solution="Given: m = 3 kg, a = 4 m/s^2\nF = m * a = 3 kg * 4 m/s^2 = 12 N",
    formula="m * a",
    symbols={"F": "N", "m": "kg", "a": "m/s^2"},
)


@pytest.mark.parametrize(
    ("said", "answer", "number", "unit", "magnitude"),
    [
        ("12 N", 1, 1, 1, 1),
        ("12000 mN", 1, 1, 1, 1),
        ("12", 0, 1, 0, 0),
        ("12 J", 0, 1, 0, 0),
        ("12 kN", 0, 0, 0.5, 0),
        ("120 N", 0, 0, 1, 0.5),
        ("-12 N", 0, 0, 1, 0),
        ("12 furlongs", 0, 1, 0, 0),
        ("nothing", 0, 0, 0, 0),
    ],
)
def test_partial_credit_of_an_answer(
    judge_text: Callable[..., Any], said: str, answer: float, number: float, unit: float, magnitude: float
) -> None:
    text = f"<answer>{said}</answer>"
    found = {name: judge_text(name, TASK, text).value for name in ("answer", "number", "unit", "magnitude")}
    assert found == pytest.approx({"answer": answer, "number": number, "unit": unit, "magnitude": magnitude})


def test_credit_lies_on_the_number_and_on_the_unit(judge_text: Callable[..., Any]) -> None:
    text = "<reasoning>x</reasoning><answer>F = 12 N</answer>"
    (number,), (unit,) = judge_text("number", TASK, text).spans, judge_text("unit", TASK, text).spans
    assert text[number.start : number.end] == "12"
    assert text[unit.start : unit.end] == "N"


SAID = [
    "<answer>12 N</answer>",
    "<answer>13 N",
    "<answer>12 kg</answer>",
    "answer: 11 N\n",
    "\\boxed{12}",
    "<answer>",
    "x ",
]


PAID = ("number", "unit", "magnitude", "marks")


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer(physics(), rubric=Rubric(dict.fromkeys(PAID, 1.0)), workers=0) as made:
        made.score([Row(TASK, text) for text in SAID])  # what is loaded once is charged to no example
        yield made


@given(st.lists(st.sampled_from(SAID), max_size=5), st.lists(st.sampled_from(SAID), max_size=3))
def test_to_answer_again_earns_what_the_total_gains(scorer: Scorer, before: list[str], after: list[str]) -> None:
    """What follows a text is paid the difference that it makes to the total: repeating an answer is worth nothing."""
    first, whole = "".join(before), "".join([*before, *after])
    one, both = scorer.score([Row(TASK, first), Row(TASK, whole)])
    for name in PAID:
        assert 0 <= both.rewards[name].value <= 1
        if first.endswith((">", "\n", "}", "x ")) or not after:
            standing = sum(span.value for span in both.rewards[name].spans if span.start < len(first))
            assert standing == pytest.approx(sum(span.value for span in one.rewards[name].spans)), name


def test_the_second_answer_is_paid_the_difference(scorer: Scorer) -> None:
    text = "<answer>120 N</answer><answer>12 kg</answer>"
    (row,) = scorer.score([Row(TASK, text)])
    assert [(text[s.start : s.end], s.value) for s in row.rewards["unit"].spans] == [("N", 1.0), ("1", -1.0)]


def test_options_are_checked(judge_text: Callable[..., Any]) -> None:
    for name, options in (
        ("answer", {"rule": "magic"}),
        ("answer", {"tolerance": 2}),
        ("unit", {"partial": 2}),
        ("magnitude", {"decades": 0}),
        ("steps", {"relevant": "no"}),
    ):
        with pytest.raises(UserError, match=name):
            judge_text(name, TASK, "<answer>1</answer>", **options)
    for given_options in ({"style": "loud"}, {"world": "flat"}, {"tolerance": -1}):
        with pytest.raises(UserError):
            physics(**given_options)  # type: ignore[arg-type]


def test_without_gold_nobody_is_scored(judge_text: Callable[..., Any]) -> None:
    bare = make_task("0", "?", [])
    for name in ("answer", "number", "unit", "magnitude", "marks", "scibench", "meteor", "rouge_l"):
        assert isinstance(judge_text(name, bare, "<answer>1</answer>"), Unscored), name


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("F = m * a = 3 kg * 4 m/s^2 = 12 N", 1 / 3),
        ("Given: m = 3 kg, a = 4 m/s^2\nF = m * a = 3 kg * 4 m/s^2 = 12 N", 1.0),
        ("F = m / a", 0.0),
        ("F = m * a\nF = m + a", 1 / 3),
        ("F = m a\nF = m a^2", 1 / 3),
        ("E = F * d", 0.0),
        ("d = 5 m\nE = F * d = 60 J\nm = 3 kg", 2 / 3),
        ("no equation", 0.0),
    ],
)
def test_dimensions_of_equations(judge_text: Callable[..., Any], text: str, value: float) -> None:
    assert judge_text("consistent", TASK, f"{text}<answer>1</answer>").value == pytest.approx(value)


def test_progress_towards_the_formula_is_paid_where_it_is_made(judge_text: Callable[..., Any]) -> None:
    task = make_task("0", "?", [part(r"m g h + \frac{1}{2} m v^2", "expression")])
    text = "<reasoning>E = K + P\nP = m g h\nK = m v^2 / 2\nE = K + P</reasoning><answer>E</answer>"
    score = judge_text("symbolic", task, text)
    assert score.value == pytest.approx(1.0)
    assert text[score.spans[-1].start : score.spans[-1].end] == "K + P"
    part_way = judge_text("symbolic", task, "<reasoning>P = m g h</reasoning><answer>x</answer>").value
    assert 0 < part_way < 1
    assert judge_text("symbolic", task, "<answer>m (g h + v^2/2)</answer>").value == pytest.approx(1.0)
    assert judge_text("symbolic", make_task("0", "?", [part("3")]), "<answer>m g h</answer>").value == 0


@settings(deadline=None, max_examples=150)
@given(
    a=st.integers(1, 9), b=st.integers(1, 9), n=st.integers(1, 3), name=st.sampled_from(["x", "v", r"\theta", "m_1"])
)
def test_equal_expressions_are_found_equal_and_others_not(a: int, b: int, n: int, name: str) -> None:
    one = f"({name} + {a})^{n} * {b}"
    assert equivalent(one, f"{b} ({a} + {name})^{{{n}}}") is True
    assert equivalent(one, f"\\frac{{{2 * b}}}{{2}} ({name} + {a})^{n}") is True
    assert equivalent(one, f"({name} + {a})^{n} * {b + 1}") is False
    assert equivalent(one, f"({name} + {a + 1})^{n} * {b}") is False
    assert progress(one, one) == 1.0


def test_format_pays_tags(judge_text: Callable[..., Any]) -> None:
    whole = "<reasoning>\nx\n</reasoning>\n<answer>\n12 N\n</answer>"
    assert judge_text("format", TASK, whole).value == 1
    assert judge_text("format", TASK, whole + " and more").value == 0.75
    assert judge_text("format", TASK, "<answer>12 N</answer>").value == 0.5
    assert judge_text("format", TASK, "12 N").value == 0


@pytest.mark.parametrize(
    ("text", "answer", "reasoning"),
    [
        ("<reasoning>a</reasoning><answer> 5 N </answer>", "5 N", "a"),
        ("a\n<answer>5 N</answer>", "5 N", "a\n"),
        ("<answer>4</answer> no: <answer>5 N</answer>", "5 N", "<answer>4</answer> no: "),
        ("<answer>5 N", "5 N", None),
        ("<answer>5 N</answer><answer></answer>", "5 N", None),
        (r"so \boxed{5 \mathrm{~N}}", r"5 \mathrm{~N}", "so "),
        (r"<answer>\boxed{5 N}</answer>", "5 N", None),
        ("The answer is 5 N\nbye", "5 N", "The "),
        ("Final answer: 5 N", "5 N", "Final "),
        ("answer: 5 N\nso the answer is", "5 N", None),
        (r"\boxed{5 N} or \boxed{6", "5 N", None),
        ("no idea", None, "no idea"),
        ("", None, None),
        (f"<answer>{'9' * 3000}</answer>", None, None),
    ],
)
def test_replies_are_read(text: str, answer: str | None, reasoning: str | None) -> None:
    found = parse(text, TASK)
    assert found.answer == answer
    assert (found.pieces["reasoning"].text if "reasoning" in found.pieces else None) == reasoning
    for piece in found.pieces.values():
        assert text[piece.start : piece.end] == piece.text


def test_wording_by_hand() -> None:
    # four of five words, in one run of three and one of one: P = R = 4/5, two chunks of four matches
    assert rouge_l("the ball falls down fast", "the ball falls up fast") == pytest.approx(0.8)
    assert meteor("the ball falls down fast", "the ball falls up fast") == pytest.approx(0.8 * (1 - 0.5 * (2 / 4) ** 3))
    assert meteor("it falls", "it falling") == meteor("it falls", "it falls")
    assert meteor("a", "b") == rouge_l("a", "b") == meteor("", "a") == rouge_l("a", "") == 0
    assert words("3.5 m/s, Fast") == ("3.5", "m", "/", "s", ",", "fast")


def _longest(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    row = [0] * (len(other) + 1)
    for a in one:
        before = 0
        for at, b in enumerate(other, start=1):
            row[at], before = (before + 1 if a == b else max(row[at], row[at - 1])), row[at]
    return row[-1]


@settings(deadline=None, max_examples=200)
@given(one=st.text("ab c", max_size=30), other=st.text("ab c", max_size=30))
def test_rouge_l_is_the_longest_common_subsequence(one: str, other: str) -> None:
    a, b = words(one), words(other)
    wanted = 2 * _longest(a, b) / (len(a) + len(b)) if a and b else 0.0
    assert rouge_l(one, other) == pytest.approx(wanted)
    assert 0 <= meteor(one, other) <= 1


def test_judges_are_shown_the_reply_and_read_to_the_end() -> None:
    domain = physics()
    rewards = {reward.name: reward for reward in domain.rewards}
    completion = domain.parse("<answer>12 N</answer>", TASK)
    judge = FakeJudge(["Step 1: right\nStep 2: partly, a sign\n**Step 3: wrong**"])
    assert asyncio.run(rewards["reasoning"].fn(TASK, completion, judge)) == 0.5
    assert judge.calls[0].slots["reply"] == completion.text
    assert judge.calls[0].slots["answer"] == "12 N"
    assert asyncio.run(rewards["ranking"].fn(TASK, completion, FakeJudge(["Place: 4\nno:\nPlace: 2"]))) == 0.75
    assert asyncio.run(rewards["ranking"].fn(TASK, Completion(" "), FakeJudge([]))) == 0
    assert read_steps("No steps").value == 0
    for read in (read_steps, read_place):
        with pytest.raises(ValueError, match="no line"):
            read("It is fine. 9/10")


# Presets -------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(data=st.data(), preset=st.sampled_from([name for name, rubric in PRESETS.items() if rubric.cap_wrong]))
def test_no_mix_of_scores_lets_wrong_outscore_right(data: Any, preset: str) -> None:
    rewards = {reward.name: reward for reward in physics().rewards}
    rubric = bind_rubric(PRESETS[preset], rewards)

    def row(right: bool) -> Scored:
        outcomes = {name: Outcome(terminal=data.draw(st.floats(*rewards[name].bounds))) for name in rubric.terms}
        outcomes["answer"] = Outcome(terminal=float(right), correct=right)
        return scored(rubric, Task("0", {}), Completion(""), outcomes, 0)

    right, wrong = row(True), row(False)
    assert right.total is not None
    assert wrong.total is not None
    assert right.total > wrong.total


@pytest.mark.parametrize("preset", PRESETS)
def test_gold_is_worth_most_and_silence_least(domain: Domain, preset: str) -> None:
    said = ["12 N", "12 J", "120 N", "12", "13 kN", "x", "m a"]
    texts = [f"F = 3 kg * 4 m/s^2 = {n} N<answer>{each}</answer>" for each in said for n in (12, 13)]
    with Scorer(domain, rubric=preset, workers=0) as scorer:
        rows = scorer.score([Row(TASK, text) for text in [domain.gold(TASK) or "", "", *texts]])
    totals = [row.total for row in rows if row.total is not None]
    assert len(totals) == len(rows)
    assert totals[0] == pytest.approx(max(totals))
    assert totals[1] == pytest.approx(min(totals))


def test_metrics(domain: Domain) -> None:
    texts = [domain.gold(TASK) or "", "<answer>12 J</answer>", "3 kg * 4 m/s^2 = 13 N<answer>13 N</answer>"]
    with Scorer(domain, rubric="steps", workers=0) as scorer:
        rows = scorer.score([Row(TASK, text) for text in texts])
    numbers = METRICS["accuracy"](rows)
    assert numbers["accuracy"] == pytest.approx(1 / 3)
    assert numbers["number_ok"] == pytest.approx(2 / 3)
    assert numbers["unit_ok"] == pytest.approx(2 / 3)
    assert (numbers["scored"], numbers["of"]) == (3, 3)
    assert METRICS["step_accuracy"](rows) == {"step_accuracy": 0.5, "steps_missing": pytest.approx(1 / 3)}
    assert METRICS["official"](rows)["scibench_accuracy"] == pytest.approx(2 / 3)
    assert 0 < METRICS["wording"](rows)["meteor"] < 100
    assert METRICS["wording"]([]) == METRICS["official"]([]) == METRICS["step_accuracy"]([]) == {}


# Samples -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", ["simple", "school", "all"])
def test_splits_share_no_problem_and_no_wording(world: str) -> None:
    train, held_out = tasks("train", world=world), tasks("held-out", world=world)
    shown = [task for task in train if task.meta.get("demonstration")]
    assert (len(shown), len(train), len(held_out)) == (400, 2400, 600)

    def problems(those: list[Task]) -> set[tuple[str, str]]:
        return {(task.meta["kind"], task.reference["solution"]) for task in those}

    def phrasings(those: list[Task]) -> set[str]:
        return {task.meta["phrasing"] for task in those}

    rest = train[len(shown) :]
    assert not problems(shown) & problems(rest)
    assert not problems(held_out) & problems(train)
    assert not phrasings(held_out) & phrasings(train)
    assert len({task.inputs["question"] for task in [*train, *held_out]}) == len(train) + len(held_out)
    assert tasks("train", world=world) == train
    assert tasks("train", world=world, seed=1)[0] != train[0]


@pytest.mark.parametrize(("world", "compact"), [("all", False), ("simple", True)])
def test_every_sample_earns_the_full_reward(world: str, compact: bool) -> None:
    domain = physics(style="compact" if compact else "full", world=world)
    every = [*list(domain.samples("train"))[::7], *list(domain.samples("held-out"))[::7]]
    rewards = {reward.name: reward for reward in domain.rewards}
    for task in every:
        completion = domain.parse(domain.gold(task) or "", task)
        for name in ("answer", "number", "unit", "magnitude", "steps", "consistent", "marks", "scibench", "format"):
            given: dict[str, Any] = {"task": task, "completion": completion}
            result = rewards[name].fn(**{k: v for k, v in given.items() if k in rewards[name].arguments})
            assert isinstance(result, Score)
            assert result.value == pytest.approx(1.0), (name, completion.text)
        if not compact and task.reference["formula"]:
            assert rewards["symbolic"].fn(task=task, completion=completion).value == pytest.approx(1.0)


def test_bertscore_says_what_is_missing() -> None:
    try:
        import bert_score  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: F401
    except ImportError:
        reward = {reward.name: reward for reward in physics().rewards}["bertscore"]
        (result,) = reward.fn([TASK], [parse("<answer>12 N</answer>", TASK)])
        assert isinstance(result, Unscored)
        assert "honewise-physics[bertscore]" in result.reason
