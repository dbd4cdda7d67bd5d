"""The whole contract, on our own samples and on public data."""

from __future__ import annotations

from typing import Any

import pytest

from honewise.data import load_tasks
from honewise.testing import FakeJudge, check_domain, data_slice
from honewise_text_to_sql.domain import text_to_sql


@pytest.mark.parametrize(
    "options",
    [{}, {"style": "compact", "schema_tokens": 300}, {"reasoning": False, "prune": True}],
    ids=["default", "compact", "pruned"],
)
def test_the_domain_keeps_the_contract(options: dict[str, Any]) -> None:
    findings = check_domain("text-to-sql", options=options, judge=FakeJudge(otherwise=1.0))
    assert len(findings) > 50


@pytest.mark.parametrize("name", ["spider", "defog_sql_eval"])
def test_the_domain_keeps_the_contract_on_public_data(name: str) -> None:
    domain = text_to_sql()
    tasks = load_tasks(domain, path=data_slice(f"text_to_sql/{name}")).tasks[::9]
    check_domain(domain, tasks=tasks, judge=FakeJudge(otherwise=1.0))
