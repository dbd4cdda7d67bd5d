"""How many steps dense rewards save, over five seeds: `pytest -m bench -s` on this file.

Two arms start from one warm-up and differ in one thing. Text-to-SQL: the same rewards, which ``sparse`` pays at the
last token. Physics: steps of the solution are paid, or ``answer-alone``. Writes ``results/dense.json`` and
``results/physics-dense.json``. An hour or more each on two cores; with ``HONEWISE_BENCH_RUNS=FOLDER`` the runs are kept
there, and one that was broken off goes on.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tables
import yaml
from kept_runs import claimed_run, folder_of_runs, keep_run

from honewise.runs.store import Store

WINDOW = 10
TIMED = 10
"""Steps."""
JOINS = Path(__file__).with_name("joins.yaml")


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    """Of the result."""
    seeds: Sequence[int]
    sparse: str
    """The stage of each arm."""
    dense: str
    run: Callable[[Path, int], Path]
    """The store of a seed."""


# The first three seeds of physics are those of its claims, with all their controls; the others need none.
CASES = (
    Case("dense", range(5), "sparse", "dense", lambda folder, seed: keep_run(folder, JOINS, f"seed-{seed}", seed)),
    Case(
        "physics-dense",
        range(1, 6),
        "answer-alone",
        "rl",
        lambda folder, seed: claimed_run(
            folder, "physics/quickstart", "physics", seed, () if seed <= 3 else ["stages.more-sft.seconds=1"]
        ),
    ),
)


def windows(accuracy: Sequence[float]) -> list[float]:
    """Mean of the last ``WINDOW`` steps, from the first step that has so many."""
    return [math.fsum(accuracy[end - WINDOW : end]) / WINDOW for end in range(WINDOW, len(accuracy) + 1)]


def _arm(store: Store, stage: str) -> dict[str, Any]:
    with_metrics = store.metrics(stage)
    curve = [metrics["correct"] for metrics in with_metrics.values()]
    return {"final": windows(curve)[-1], "curve": [round(value, 4) for value in curve]}


def _measure(folder: Path, case: Case, seed: int) -> dict[str, Any]:
    with Store(case.run(folder, seed), readonly=True) as store:
        sparse, dense = _arm(store, case.sparse), _arm(store, case.dense)
        held_out = {e.name: e.metrics["correct"] for e in store.evaluations()}
    reached = (at + WINDOW for at, value in enumerate(windows(dense["curve"])) if value >= sparse["final"])
    steps = next(reached, None)
    return {"seed": seed, "sparse": sparse, "dense": dense, "steps": steps, "held_out": held_out}


def _seconds_a_step(folder: Path, case: Case, stage: str) -> float:
    """Median over some steps from the warm-up of the first seed. Both arms are measured at once, so that whatever else
    the machine does weighs on both."""
    warm = folder / "runs" / case.run(folder, case.seeds[0]).parent.name
    recipe = yaml.safe_load((warm / "recipe.yaml").read_text(encoding="utf-8"))
    spec = {**recipe["stages"][stage], "steps": TIMED}
    spec.pop("from", None)
    recipe |= {"policy": {"path": str(warm / "stages" / "sft" / "policy")}, "stages": {stage: spec}}
    for name, reward in recipe["rubric"].get("rewards", {}).items():
        if stage not in (reward.pop("stages", None) or [stage]):
            recipe["rubric"]["rewards"][name] = None
    path = folder / f"timed-{case.name}-{stage}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False))
    with Store(keep_run(folder, path, path.stem, case.seeds[0]), readonly=True) as store:
        return statistics.median(metrics["seconds/step"] for metrics in store.metrics(stage).values())


@pytest.mark.bench
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_dense_against_sparse(case: Case, tmp_path: Path) -> None:
    folder = folder_of_runs(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda seed: _measure(folder, case, seed), case.seeds))
        arms = (case.sparse, case.dense)
        seconds = dict(zip(arms, pool.map(lambda arm: _seconds_a_step(folder, case, arm), arms), strict=True))
    told = {"arms": arms, "steps": len(rows[0]["sparse"]["curve"]), "window": WINDOW, "seconds_a_step": seconds}
    tables.write(case.name, {**told, "rows": rows})
    print("\n" + tables.dense(case.name))
