"""What the quickstart promises, over three seeds: `pytest -m bench tests/bench/test_quickstart_claim.py -s`.

The recipe runs as it is shipped, through the command line; only the seed and the folder differ. Writes
``results/quickstart.json``, from which ``tables.py`` makes the table of the README.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tables

from honewise.runs.store import Store

SEEDS = (1, 2, 3)
RECIPE = "text-to-sql/quickstart"


def _measure(folder: Path, seed: int) -> dict[str, Any]:
    begun = time.monotonic()
    command = [sys.executable, "-m", "honewise", "run", RECIPE, f"seed={seed}", f"name=seed-{seed}", "runs_dir=runs"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store(folder / "runs" / f"seed-{seed}" / "run.sqlite", readonly=True) as store:
        evaluations = {e.name: e for e in store.evaluations()}
        comparisons = [
            {"one": c.one, "other": c.other, "difference": c.difference, "low": c.low, "high": c.high}
            for c in store.comparisons()
            if c.metric == "correct"
        ]
        stages = {stage.stage: round(stage.seconds, 1) for stage in store.stages()}
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 1),
        "stages": stages,
        "tasks": next(iter(evaluations.values())).settings["tasks"],
        "correct": {name: e.metrics["correct"] for name, e in evaluations.items()},
        "comparisons": comparisons,
    }


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_rl_lifts_held_out_accuracy(tmp_path: Path) -> None:
    rows = [_measure(tmp_path, seed) for seed in SEEDS]
    tables.write("quickstart", {"recipe": RECIPE, "rows": rows})
    print("\n" + tables.quickstart())
    mean = tables.means(rows)
    assert 1 - mean["rl t=1"] <= 0.75 * (1 - mean["sft t=1"]), "the sampled error must fall by a quarter"
    for row in rows:
        (greedy,) = [c for c in row["comparisons"] if (c["one"], c["other"]) == ("rl greedy", "sft greedy")]
        assert greedy["low"] > -0.02, f"greedy accuracy fell with seed {row['seed']}: {greedy}"
