"""The physics quickstart from the command line to the report, at a fraction of its size."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from honewise.runs.store import Store

pytest.importorskip("honewise_physics")

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


def test_the_quickstart_ends_with_numbers_controls_and_a_report(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "honewise", "run", "physics/quickstart", *FRACTION]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "physics-quickstart"
    with Store(run / "run.sqlite", readonly=True) as store:
        assert all(stage.state == "done" for stage in store.stages())
        measured = {evaluation.name for evaluation in store.evaluations()}
        assert {"sft greedy", "sft t=1", "more-sft t=1", "rl greedy", "rl t=1"} <= measured
        rows = store.rollouts("rl")
        assert len(rows) == 2 * 2 * 4
        assert all(row.scored.total is not None for row in rows)
        assert {"answer", "steps", "unit", "magnitude", "consistent", "format"} == set(rows[0].scored.rewards)
    assert "more-sft" in (run / "report.html").read_text(encoding="utf-8")
