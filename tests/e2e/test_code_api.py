"""The quickstart of code-api from the command line to the report, and programs, at a fraction of the size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honewise.runs.store import Store

pytest.importorskip("honewise_code_api")

FRACTION = (
    "data.held_out.limit=6",
    "policy.tiny={layers: 1, width: 32, heads: 2, vocabulary: 300, context: 512}",
    "stages.sft.steps=3",
    "stages.rl.steps=2",
    "stages.rl.prompts=2",
    "stages.rl.samples=4",
    "stages.rl.trainer={max_completion_length: 16}",
    "stages.evaluate.samples=2",
)


@pytest.mark.parametrize(
    ("changes", "rewards"),
    [
        ((), {"call", "format", "match"}),
        pytest.param(
            ("domain.use=code-api/tests",), {"tests", "faulty_line", "syntax", "format"}, marks=pytest.mark.slow
        ),
    ],
    ids=["calls", "programs"],
)
def test_a_small_run_ends_with_numbers_and_a_report(
    tmp_path: Path, changes: tuple[str, ...], rewards: set[str]
) -> None:
    command = [sys.executable, "-m", "honewise", "run", "code-api/quickstart", *FRACTION, *changes]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "code-api-quickstart"
    with Store(run / "run.sqlite", readonly=True) as store:
        assert all(stage.state == "done" for stage in store.stages())
        rows = store.rollouts("rl")
        assert len(rows) == 2 * 2 * 4
        assert all(row.scored.total is not None for row in rows)
        assert set(rows[0].scored.rewards) == rewards
    assert (run / "report.html").exists()
