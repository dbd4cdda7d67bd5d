"""Published data through the real path: gold equals gold, conversions are accepted, faults are refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from honewise import Task
from honewise.data import load_tasks
from honewise.scoring import Row, Scorer
from honewise.testing import data_slice
from honewise_physics.check import check, gold_unit
from honewise_physics.domain import physics
from honewise_physics.official import scibench_right
from honewise_physics.prompts import answer_text
from honewise_physics.steps import find_steps

PLACES = ["scibench", "mmlu_physics_en", "mmlu_physics_ar"]


@cache
def read(folder: Path) -> tuple[Task, ...]:
    return tuple(load_tasks(physics(), path=folder).tasks)


@pytest.mark.parametrize(("place", "count"), [("scibench", 112), ("mmlu_physics_en", 150), ("mmlu_physics_ar", 120)])
def test_gold_equals_gold(place: str, count: int) -> None:
    tasks = read(data_slice("physics") / place)
    assert len(tasks) == count
    domain = physics()
    with Scorer(domain, rubric="partial", workers=0) as scorer:
        rows = scorer.score([Row(task, domain.gold(task) or "") for task in tasks])
    wrong = [row.task.id for row in rows if row.correct is not True]
    assert wrong == []  # exceptions would be listed here; at most 2 % are allowed
    assert all(row.rewards[name].value == 1 for row in rows for name in ("number", "unit", "magnitude"))


def numbers() -> list[Task]:
    return list(read(data_slice("physics") / "scibench"))


def test_conversions_of_gold_are_accepted_and_faults_refused_at_the_right_flag(partners: Callable[..., Any]) -> None:
    converted = 0
    for task in numbers():
        (gold,) = task.reference["answers"]
        reading = gold_unit(gold["text"], gold["unit"])
        assert reading is not None
        others = partners(reading)
        for unit, value in others:
            outcome = check(task, f"{value!r} {unit}")
            assert outcome is not None
            assert outcome.correct, (task.id, gold, unit, value)
            converted += 1
            for factor in (1.1, 10.0, 1e-3):
                off = check(task, f"{value * factor!r} {unit}")
                assert off is not None
                # SciBench's own rule looks at the bare number and may forgive what units do not.
                assert (off.number_ok, off.unit_ok) == (False, True), (task.id, factor)
            strange = check(task, f"{value!r} {unit} mol A")
            assert strange is not None
            assert not strange.unit_ok
        if reading.unit and reading.quantity.dimension != (0,) * 7:
            assert len(others) >= 5, (task.id, gold)
    assert converted > 300


def test_scibenchs_rule_agrees_on_gold_and_perturbed_answers(official: Callable[..., bool]) -> None:
    compared = 0
    for task in numbers():
        (gold,) = task.reference["answers"]
        number, unit = gold["text"], gold["unit"]
        power = re.search(r"10\^\{?(-?\d+)", unit)
        for factor in (1.0, 1.04, 0.96, 1.06, 0.94, 1.1, 10.0, 0.1, -1.0):
            value = float(number) * factor
            tens = int(power[1]) if power else 0
            for said in (f"{value:.6g}", f"{value:.6g} m", f"x = {value:.6g}", f"{value:.6g} \\times 10^{{{tens}}}",
                         f"{value:.6g}*10^{tens}", f"{value * 10.0**tens!r}", f"{value:,.3f}"):  # fmt: skip
                assert scibench_right(said, number, unit) == official(said, number, unit), (said, number, unit)
                compared += 1
        assert scibench_right(answer_text(gold), number, unit)
    assert compared > 5_000


def test_published_solutions_are_never_charged() -> None:
    charged = [
        (task.id, task.reference["solution"][step.start - 60 : step.end])
        for task in numbers()
        for step in find_steps(task.reference["solution"])
        if step.mark == "wrong"
    ]
    assert charged == []
