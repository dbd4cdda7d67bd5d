"""Dense against sparse credit on one budget, over five seeds: `pytest -m bench -s` on this file.

Both arms start from the same warm-up and get the same rewards; sparse pays all of them at the last token. Writes
``results/dense.json``. An hour or more on two cores; with ``HONEWISE_BENCH_RUNS=FOLDER`` the runs are kept there,
and one that was broken off goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tables
from kept_runs import folder_of_runs, keep_run

from honewise.runs.store import Store

SEEDS = (0, 1, 2, 3, 4)
WINDOW = 10
RECIPE = Path(__file__).with_name("joins.yaml")


def windows(accuracy: Sequence[float]) -> list[float]:
    """Mean of the last ``WINDOW`` steps, from the first step that has so many."""
    return [math.fsum(accuracy[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(accuracy) + 1)]


def _arm(store: Store, stage: str) -> dict[str, Any]:
    with_metrics = store.metrics(stage)
    curve = [metrics["correct"] for metrics in with_metrics.values()]
    state = store.stage(stage)
    assert state is not None
    return {"final": windows(curve)[-1], "seconds": state.seconds, "curve": [round(value, 4) for value in curve]}


def _measure(folder: Path, seed: int) -> dict[str, Any]:
    with Store(keep_run(folder, RECIPE, f"seed-{seed}", seed), readonly=True) as store:
        sparse, dense = _arm(store, "sparse"), _arm(store, "dense")
        held_out = {e.name: e.metrics["correct"] for e in store.evaluations()}
    reached = (at + WINDOW for at, value in enumerate(windows(dense["curve"])) if value >= sparse["final"])
    steps = next(reached, None)
    seconds = None if steps is None else dense["seconds"] * steps / len(dense["curve"])
    return {"seed": seed, "sparse": sparse, "dense": dense, "steps": steps, "seconds": seconds, "held_out": held_out}


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_dense_against_sparse(tmp_path: Path) -> None:
    folder = folder_of_runs(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda seed: _measure(folder, seed), SEEDS))
    tables.write("dense", {"steps": len(rows[0]["sparse"]["curve"]), "window": WINDOW, "rows": rows})
    print("\n" + tables.dense())
