"""The whole contract, on our own samples and on public data."""

from __future__ import annotations

from typing import Any

import pytest

from honewise.data import load_tasks
from honewise.testing import FakeJudge, check_domain, data_slice
from honewise_medical_mcq.domain import medical_mcq


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"style": "compact"},
        {"confidence": True, "abstain": True, "world": "wide", "shuffle": 3},
        {"reasoning": False},
    ],
    ids=["default", "compact", "wide", "no reasoning"],
)
def test_the_domain_keeps_the_contract(options: dict[str, Any]) -> None:
    findings = check_domain("medical-mcq", options=options, judge=FakeJudge(otherwise=1.0))
    assert len(findings) > 50


@pytest.mark.parametrize("name", ["medmcqa", "pubmedqa", "mmlu_med_ar"])
def test_the_domain_keeps_the_contract_on_public_data(name: str) -> None:
    domain = medical_mcq(confidence=True)
    tasks = load_tasks(domain, path=data_slice(f"medical_mcq/{name}")).tasks[::23]
    check_domain(domain, tasks=tasks, judge=FakeJudge(otherwise=1.0))
