"""What recipes for two CPU cores promise, each over three seeds: `pytest -m bench tests/bench/test_recipe_claims.py`.

A recipe runs as it is shipped, through the command line; only the seed and the name differ, and two seeds at once have
a thread each. Where there is more to compare with, ``kept_runs.ARMS`` adds a second ``rl`` stage. Writes
``results/NAME.json``, from which ``tables.py`` makes the tables of the READMEs. With ``HONEWISE_BENCH_RUNS=FOLDER`` the
runs are kept there, and one that was broken off goes on.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tables
from kept_runs import claimed_run, folder_of_runs

from honewise.runs.store import Store

SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Claim:
    name: str
    """Of the result."""
    recipe: str
    falls: float
    """The share of the ``sft`` policy's sampled error that is gone in the end, at the least."""
    last: str = "rl"
    """The stage that is measured against ``sft``."""
    surely: bool = False
    """Whether the interval of greedy accuracy's change must end above -2 points, too; its middle never ends below 0."""


CLAIMS = (
    Claim("quickstart", "text-to-sql/quickstart", 0.25, surely=True),
    Claim("rloo", "text-to-sql/rloo-quickstart", 0.2),
    Claim("ppo", "text-to-sql/ppo-quickstart", 0.2),
    Claim("dpo", "text-to-sql/dpo-quickstart", 0.2, "dpo"),
    Claim("reward-model", "text-to-sql/reward-model", 0.2),
    Claim("code-api", "code-api/quickstart", 0.25),
    Claim("medical-mcq", "medical-mcq/quickstart", 0.25),
    Claim("physics", "physics/quickstart", 0.25),
)


def _measure(folder: Path, claim: Claim, seed: int) -> dict[str, Any]:
    with Store(claimed_run(folder, claim.recipe, claim.name, seed), readonly=True) as store:
        evaluations = {e.name: e for e in store.evaluations()}
        comparisons = [
            {"one": c.one, "other": c.other, "difference": c.difference, "low": c.low, "high": c.high}
            for c in store.comparisons()
            if c.metric == "correct"
        ]
        stages = {stage.stage: round(stage.seconds, 1) for stage in store.stages()}
    return {
        "seed": seed,
        "stages": stages,
        "tasks": next(iter(evaluations.values())).settings["tasks"],
        "correct": {name: e.metrics["correct"] for name, e in evaluations.items()},
        "comparisons": comparisons,
    }


@pytest.mark.bench
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_training_lifts_held_out_accuracy(claim: Claim, tmp_path: Path) -> None:
    folder = folder_of_runs(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda seed: _measure(folder, claim, seed), SEEDS))
    tables.write(claim.name, {"recipe": claim.recipe, "last": claim.last, "at_once": 2, "rows": rows})
    print("\n" + tables.claim(claim.name))
    mean = tables.means(rows)
    before, after = 1 - mean["sft t=1"], 1 - mean[f"{claim.last} t=1"]
    assert after <= (1 - claim.falls) * before, "the sampled error must fall by more"
    for row in rows:
        names = (f"{claim.last} greedy", "sft greedy")
        (greedy,) = [c for c in row["comparisons"] if (c["one"], c["other"]) == names]
        assert greedy["difference"] >= 0, f"greedy accuracy fell with seed {row['seed']}: {greedy}"
        assert not claim.surely or greedy["low"] > -0.02, f"it may have fallen with seed {row['seed']}: {greedy}"
