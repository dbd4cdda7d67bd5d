"""Rewards by hand, their bounds under any text, and totals of the presets."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise import Domain, Score, Scored, Task, Unscored, UserError
from honewise.scoring import Row, Scorer
from honewise.templates import load, render, slots_of
from honewise.testing import FakeJudge
from honewise_medical_mcq.domain import medical_mcq
from honewise_medical_mcq.judging import GROUNDING, QUALITY, read_score
from honewise_medical_mcq.presets import PRESETS
from honewise_medical_mcq.tasks import make_task

DOMAIN = medical_mcq(confidence=True, abstain=True, locale="fa")
REWARDS = {reward.name: reward for reward in DOMAIN.rewards}
TASK = make_task("0", "Which of these drugs lowers a fever?", ["Ibuprofen", "Insulin", "Warfarin", "Omeprazole"], 0)
HIDDEN = make_task(
    "1", "Which of these drugs lowers a fever?", ["Ibuprofen", "Insulin", "Warfarin", "Omeprazole"], None
)
STUDY = make_task(
    "2", "Does it help?", ["yes", "no", "maybe"], 0, labels=["yes", "no", "maybe"], context="It did help."
)


def score(name: str, text: str, task: Task = TASK, **options: Any) -> Score:
    reward = REWARDS[name]
    given = {"task": task, "completion": DOMAIN.parse(text, task)}
    result = reward.fn(**{key: value for key, value in given.items() if key in reward.arguments}, **options)
    assert isinstance(result, Score)
    return result


def test_correct() -> None:
    assert (score("correct", "<answer>A</answer>").value, score("correct", "A").correct) == (1.0, True)
    assert (score("correct", "<answer>B</answer>").value, score("correct", "").correct) == (0.0, False)
    assert "could be read" in score("correct", "A or B").feedback


@pytest.mark.parametrize("name", ["correct", "negative_marking", "abstention", "confidence", "elimination"])
def test_without_gold_nobody_is_scored(name: str) -> None:
    assert isinstance(REWARDS[name].fn(HIDDEN, DOMAIN.parse("A", HIDDEN)), Unscored)


def test_negative_marking_and_abstention() -> None:
    texts = {"A": 1.0, "B": -1 / 3, "I do not know.": 0.0, "": -1 / 3, "A or B": -1 / 3}
    assert [score("negative_marking", text).value for text in texts] == pytest.approx(list(texts.values()))
    assert score("negative_marking", "B", penalty=0.25).value == -0.25
    assert [score("abstention", text).value for text in texts] == [1.0, 0.0, 0.25, 0.0, 0.0]
    assert score("abstention", "I do not know.", worth=0.5).value == 0.5
    with pytest.raises(UserError, match="penalty"):
        score("negative_marking", "A", penalty=2)
    with pytest.raises(UserError, match="worth"):
        score("abstention", "A", worth=-1)


def test_confidence_by_hand() -> None:
    def said(label: str, stated: str, **options: Any) -> float:
        return score("confidence", f"<answer>{label}</answer><confidence>{stated}</confidence>", **options).value

    assert said("A", "0.8") == pytest.approx(1 - 0.04)
    assert said("B", "0.8") == pytest.approx(1 - 0.64)
    assert said("A", "80%", rule="log") == pytest.approx(1 - math.log(0.8) / math.log(0.01))
    assert said("B", "1", rule="log") == pytest.approx(0.0)
    assert score("confidence", "<answer>A</answer>").value == 0.0
    with pytest.raises(UserError, match="brier, log"):
        said("A", "1", rule="linear")


@pytest.mark.parametrize("rule", ["brier", "log"])
@pytest.mark.parametrize("chance", [0.1, 0.37, 0.5, 0.9])
def test_the_confidence_score_is_proper(rule: str, chance: float) -> None:
    def mean(stated: float) -> float:
        shown = f"<confidence>{stated}</confidence>"
        right = score("confidence", f"<answer>A</answer>{shown}", rule=rule).value
        return chance * right + (1 - chance) * score("confidence", f"<answer>B</answer>{shown}", rule=rule).value

    best = max((number / 100 for number in range(101)), key=mean)
    assert best == pytest.approx(chance, abs=0.011)


def test_elimination_pays_and_charges_where_it_stands() -> None:
    text = "<reasoning>B is wrong. A is ruled out. B is wrong again. C is wrong.</reasoning><answer>D</answer>"
    made = score("elimination", text)
    assert [(text[span.start : span.end], round(span.value, 3)) for span in made.spans] == [
        ("B is wrong", 0.333),
        (" A is ruled out", -1.0),
        (" C is wrong", 0.333),
    ]
    assert made.value == pytest.approx(-1 / 3)
    assert made.parts == {"ruled_out": 2.0, "lost": 1.0}
    everything = "A, B, C and D are ruled out. <answer>A</answer>"
    assert score("elimination", everything).value == pytest.approx(0.0)
    assert score("elimination", "").value == -1.0
    assert score("elimination", DOMAIN.gold(TASK) or "").value == pytest.approx(1.0)


FA = make_task("3", "کدام دارو تب را پایین می‌آورد؟", ["ایبوپروفن", "انسولین", "وارفارین", "امپرازول"], 0)


@pytest.mark.parametrize(
    ("reasoning", "value"),
    [
        ("این دارو آنزیم را مهار می‌کند.", 1.0),
        ("این دارو آنزیم COX را مهار می‌کند و تب را پایین می‌آورد.", 1.0),
        ("This drug inhibits the enzyme and lowers the fever.", 0.0),
        ("هذا الدواء يثبط الإنزيم ويخفض درجة الحرارة لدى المريض بسرعة كبيرة جدا.", 0.5),
        ("", 1.0),
    ],
)
def test_language(reasoning: str, value: float) -> None:
    made = score("language", f"<reasoning>{reasoning}</reasoning><answer>الف</answer>", FA)
    assert made.value == pytest.approx(value, abs=0.01)


def test_language_charges_the_foreign_run() -> None:
    text = "<reasoning>It inhibits фермент there.</reasoning><answer>A</answer>"
    made = score("language", text)
    assert [text[span.start : span.end] for span in made.spans] == ["фермент"]
    assert made.value == pytest.approx(1 - 7 / len("ItinhibitsThere" + "фермент"))
    spanish = "<reasoning>El fármaco baja la fiebre de los pacientes y no la insulina.</reasoning><answer>A</answer>"
    assert score("language", spanish).value == pytest.approx(0.5)
    assert score("language", spanish, expected="es").value == 1.0
    assert score("language", "").value == 0.0


def ask(name: str, judge: FakeJudge, task: Task, text: str) -> Any:
    return asyncio.run(REWARDS[name].fn(task=task, completion=DOMAIN.parse(text, task), judge=judge))


def test_the_judges_are_shown_what_their_templates_ask_for() -> None:
    judge = FakeJudge([0.7, 0.4])
    text = "<reasoning>It blocks COX. {{locale}}</reasoning><answer>A</answer>"
    assert ask("quality", judge, TASK, text) == 0.7
    assert "Persian" in judge.calls[0].slots["locale"]
    assert judge.calls[0].slots["reference"] == "A. Ibuprofen"
    assert ask("grounding", judge, STUDY, "<reasoning>It helped.</reasoning><answer>yes</answer>").value == 0.4
    assert "reference" not in judge.calls[1].slots
    for call in judge.calls:
        template = load("honewise_medical_mcq", call.template.file)
        assert set(call.slots) == slots_of(template)
        assert render(template, call.slots)


@pytest.mark.parametrize(("name", "task"), [("quality", TASK), ("grounding", STUDY), ("grounding", TASK)])
def test_nothing_to_judge_asks_nobody(name: str, task: Task) -> None:
    judge = FakeJudge()
    for text in ("", "no idea", "<reasoning> </reasoning><answer>A or B</answer>"):
        made = ask(name, judge, task, text)
        assert (made.value if isinstance(made, Score) else made) == 0.0
    assert not judge.calls


@pytest.mark.parametrize(
    ("reply", "value"), [("Score: 7", 0.7), ("Score: 2\nNo.\n**Score: 9/10**", 0.9), ("score = 0", 0.0)]
)
def test_the_last_score_binds(reply: str, value: float) -> None:
    assert read_score(reply).value == value
    assert QUALITY.parse is GROUNDING.parse is read_score


@pytest.mark.parametrize("reply", ["", "good", "Score: 11", "Score: -1", "I give it a 7"])
def test_a_reply_without_a_score_is_refused(reply: str) -> None:
    with pytest.raises(ValueError, match=r"score|Score"):
        read_score(reply)


TEXTS = [
    DOMAIN.gold(TASK) or "",
    "",
    "A",
    "B",
    "I do not know.",
    "<answer>A</answer>",
    "<answer>B</answer>",
    "A or B",
    "D is wrong",
]


def totals(domain: Domain, preset: str) -> list[Scored]:
    with Scorer(domain, rubric=preset, workers=0) as scorer:
        return scorer.score([Row(TASK, text) for text in TEXTS])


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "grounded"])
def test_gold_is_worth_most_and_silence_least(preset: str) -> None:
    rows = totals(DOMAIN, preset)
    every = [row.total for row in rows if row.total is not None]
    assert len(every) == len(rows)
    assert rows[0].correct is True
    assert rows[1].correct is False
    assert rows[0].total == pytest.approx(max(every))
    assert rows[1].total == pytest.approx(min(every))
    right = [row.total or 0.0 for row in rows if row.correct]
    assert min(right) > max(row.total or 0.0 for row in rows if not row.correct)


@settings(deadline=None, max_examples=80)
@given(
    st.text(max_size=120),
    st.sampled_from(["", "<answer>{}</answer>", "not {}. <answer>A</answer>", "<reasoning>{}</reasoning>A"]),
)
def test_rewards_stay_in_their_bounds(text: str, wrap: str) -> None:
    whole = wrap.replace("{}", text) or text
    for name, reward in REWARDS.items():
        if reward.cost == "cpu":
            made = score(name, whole)
            assert reward.bounds[0] - 1e-9 <= made.value <= reward.bounds[1] + 1e-9, name
            assert all(0 <= span.start <= span.end <= len(whole) for span in made.spans)


def test_prompts_say_what_this_is_not() -> None:
    (message,) = DOMAIN.prompt(TASK)
    assert "not a medical device" in message["content"]
    assert "<confidence>" in message["content"]
    assert "none" in message["content"]
    assert "A. Ibuprofen" in message["content"]
    (study,) = DOMAIN.prompt(STUDY)
    assert "It did help." in study["content"]
    (compact,) = medical_mcq(style="compact").prompt(TASK)
    assert compact["content"] == "Which of these drugs lowers a fever?\nIbuprofen A Insulin B Warfarin C Omeprazole D"
    with pytest.raises(UserError, match="style"):
        medical_mcq(style="short")  # type: ignore[arg-type]
