"""The whole contract, on our own samples and on public data."""

from __future__ import annotations

from typing import Any

import pytest

from honewise.data import load_tasks
from honewise.testing import FakeJudge, check_domain, data_slice
from honewise_physics.domain import physics
from honewise_physics.steps import gold_values


@pytest.mark.parametrize(
    "options",
    [{}, {"style": "compact", "world": "simple"}],
    ids=["default", "compact"],
)
def test_the_domain_keeps_the_contract(options: dict[str, Any]) -> None:
    findings = check_domain("physics", options=options, judge=FakeJudge(otherwise=1.0))
    assert len(findings) > 50


@pytest.mark.parametrize("place", ["scibench/fund_sol.json", "mmlu_physics_en/college_physics_test.csv"])
def test_the_domain_keeps_the_contract_on_public_data(place: str) -> None:
    domain = physics()
    tasks = load_tasks(domain, path=data_slice("physics") / place).tasks
    # Where a worked solution has no step that can be read, its own text earns nothing by steps, and others' may.
    told = [task for task in tasks if not task.reference["solution"] or gold_values(task.reference["solution"])]
    check_domain(domain, tasks=told[:4], judge=FakeJudge(otherwise=1.0))
