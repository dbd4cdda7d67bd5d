"""Runs of a recipe that benchmarks read their numbers from; finished ones are not done again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from honewise.runs.store import Store

__all__ = ["folder_of_runs", "keep_run"]


def folder_of_runs(otherwise: Path) -> Path:
    """``HONEWISE_BENCH_RUNS``, where runs stay from one call to the next, or a folder of the test's own."""
    folder = Path(os.environ.get("HONEWISE_BENCH_RUNS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
