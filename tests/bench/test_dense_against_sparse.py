"""Dense against sparse credit on one budget, over five seeds: `pytest -m bench -s` on this file.

Both arms start from the same warm-up and get the same rewards; sparse pays all of them at the last token. Writes
``results/dense.json``. An hour or more on two cores; with ``HONEWISE_BENCH_RUNS=FOLDER`` the runs are kept there,
and one that was broken off goes on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tables
import yaml
from kept_runs import folder_of_runs, keep_run

from honewise.runs.store import Store

SEEDS = (0, 1, 2, 3, 4)
ARMS = ("sparse", "dense")
WINDOW = 10
TIMED = 10
"""Steps."""
RECIPE = Path(__file__).with_name("joins.yaml")


def windows(accuracy: Sequence[float]) -> list[float]:
    """Mean of the last ``WINDOW`` steps, from the first step that has so many."""
    return [math.fsum(accuracy[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(accuracy) + 1)]


def _arm(store: Store, stage: str) -> dict[str, Any]:
    with_metrics = store.metrics(stage)
    curve = [metrics["correct"] for metrics in with_metrics.values()]
    return {"final": windows(curve)[-1], "curve": [round(value, 4) for value in curve]}


def _measure(folder: Path, seed: int) -> dict[str, Any]:
    with Store(keep_run(folder, RECIPE, f"seed-{seed}", seed), readonly=True) as store:
        sparse, dense = _arm(store, "sparse"), _arm(store, "dense")
        held_out = {e.name: e.metrics["correct"] for e in store.evaluations()}
    reached = (at + WINDOW for at, value in enumerate(windows(dense["curve"])) if value >= sparse["final"])
    steps = next(reached, None)
    return {"seed": seed, "sparse": sparse, "dense": dense, "steps": steps, "held_out": held_out}


def _seconds_a_step(folder: Path, arm: str) -> float:
    """Median over some steps from the warm-up of the first seed. Both arms are measured at once, so that whatever else
    the machine does weighs on both."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    stage = {**recipe["stages"][arm], "steps": TIMED}
    del stage["from"]
    warm = folder / "runs" / f"seed-{SEEDS[0]}" / "stages" / "sft" / "policy"
    recipe |= {"policy": {"path": str(warm)}, "stages": {arm: stage}}
    path = folder / f"timed-{arm}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    with Store(keep_run(folder, path, f"timed-{arm}", SEEDS[0]), readonly=True) as store:
        return statistics.median(metrics["seconds/step"] for metrics in store.metrics(arm).values())


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_dense_against_sparse(tmp_path: Path) -> None:
    folder = folder_of_runs(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda seed: _measure(folder, seed), SEEDS))
        seconds = dict(zip(ARMS, pool.map(lambda arm: _seconds_a_step(folder, arm), ARMS), strict=True))
    steps = len(rows[0]["sparse"]["curve"])
    tables.write("dense", {"steps": steps, "window": WINDOW, "seconds_a_step": seconds, "rows": rows})
    print("\n" + tables.dense())
