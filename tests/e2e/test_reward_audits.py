"""``honewise audit rewards`` finds nothing in any domain, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("domain", "decides"),
    [
        ("text-to-sql", "execution"),
        ("code-api", "match"),
        pytest.param("code-api/tests", "tests", marks=pytest.mark.slow),
        pytest.param("code-api/repair", "repaired", marks=pytest.mark.slow),
        ("code-api/preferences", "code_block"),
        ("medical-mcq", "correct"),
        ("physics", "answer"),
    ],
)
def test_nothing_is_found(domain: str, decides: str) -> None:
    pytest.importorskip(f"honewise_{domain.split('/')[0].replace('-', '_')}")
    done = subprocess.run(
        [sys.executable, "-m", "honewise", "audit", "rewards", domain, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [finding for finding in told["findings"] if not finding["ok"]] == []
    tried = {each["name"]: each for each in told["rewards"]}
    assert tried[decides]["tried"] > 300
    assert (tried[decides]["unscored"], tried[decides]["paid_like_gold"]) == (0, 0)
    assert all(each["unsteady"] == each["by_order"] == 0 for each in tried.values() if each["tried"])
