"""Runs of a recipe that benchmarks read their numbers from; finished ones are not done again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tables
import yaml

from honewise.runs.store import Store

__all__ = ["ARMS", "Arm", "claimed_run", "folder_of_runs", "keep_run"]


def folder_of_runs(otherwise: Path) -> Path:
    """``HONEWISE_BENCH_RUNS``, where runs stay from one call to the next, or a folder of the test's own."""
    folder = Path(os.environ.get("HONEWISE_BENCH_RUNS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True, slots=True)
class Arm:
    """A stage beside ``rl`` that differs from it in one thing, and starts from the same warm-up."""

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    without: Sequence[str] = ()
    """Rewards that do not count in it."""


_SPARSE = Arm("sparse", {"placement": "terminal"})
ARMS: Mapping[str, Arm] = {
    "code-api/quickstart": _SPARSE,
    "medical-mcq/quickstart": _SPARSE,
    "physics/quickstart": Arm("answer-alone", without=("steps", "unit", "magnitude", "consistent", "format")),
}
"""By recipe."""


def claimed_run(folder: Path, recipe: str, name: str, seed: int, changes: Sequence[str] = ()) -> Path:
    """The store of an example as it is shipped but for ``changes``, with its arm beside it where there is one."""
    beside = arm_beside(recipe, ARMS[recipe]) if recipe in ARMS else []
    return keep_run(folder, recipe, f"{name}-{seed}", seed, [*beside, *changes])


def arm_beside(recipe: str, arm: Arm) -> list[str]:
    """Changes to an example that add an arm to its stages, and an evaluation."""
    example = tables.ROOT / "examples" / f"{recipe}.yaml"
    stages = yaml.safe_load(example.read_text(encoding="utf-8"))["stages"]
    how = {key: stages["evaluate"][key] for key in ("samples", "temperature", "batch")}
    others = [*stages, f"evaluate-{arm.name}"]
    added = {
        f"stages.{arm.name}": {**stages["rl"], "stage": "rl", "from": "sft", **arm.changes},
        f"stages.evaluate-{arm.name}": {"stage": "evaluate", "of": [arm.name], **how},
        **{f"rubric.rewards.{reward}.stages": others for reward in arm.without},
    }
    return [f"{path}={json.dumps(value)}" for path, value in added.items()]


def keep_run(folder: Path, recipe: str | Path, name: str, seed: int, changes: Sequence[str] = ()) -> Path:
    """The store of ``recipe`` with ``seed`` as the run ``name``, by one thread; what was broken off goes on."""
    file = folder / "runs" / name / "run.sqlite"
    if _finished(file):
        return file
    command = [sys.executable, "-m", "honewise", "run", str(recipe), f"seed={seed}", f"name={name}", *changes]
    command += ["runs_dir=runs", *(["--resume"] if file.is_file() else [])]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return file


def _finished(file: Path) -> bool:
    if not file.is_file():
        return False
    with Store(file, readonly=True) as store:
        return store.fact("state") == "finished"
