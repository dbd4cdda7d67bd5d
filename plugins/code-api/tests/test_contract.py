"""The whole contract, on our own samples and on public data."""

from __future__ import annotations

from typing import Any

import pytest

from honewise.data import load_tasks
from honewise.testing import check_domain, data_slice
from honewise_code_api.domain import code_api, code_tests


@pytest.mark.parametrize("name", ["code-api", "code-api/tests"])
@pytest.mark.parametrize("options", [{}, {"style": "compact"}], ids=["full", "compact"])
def test_the_domains_keep_the_contract(name: str, options: dict[str, Any]) -> None:
    assert len(check_domain(name, options=options)) > 50


@pytest.mark.parametrize("name", ["bfcl", "gorilla_apibench", "humaneval"])
def test_the_domains_keep_the_contract_on_public_data(name: str) -> None:
    domain = code_tests(seconds=20.0) if name == "humaneval" else code_api(seconds=20.0)
    tasks = load_tasks(domain, path=data_slice(f"code_api/{name}")).tasks[::25]
    check_domain(domain, tasks=tasks)
