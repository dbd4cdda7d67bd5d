"""``--run RUN``: an audit's result goes with a run, whose card is written anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .report import find_run
from .terminal import note

__all__ = ["keep_with", "run_folder"]


def run_folder(name: str | None) -> Path | None:
    """The folder of the run that was named; looked up before the work, not after it."""
    return None if name is None else find_run(name)


def keep_with(folder: Path, kind: str, source: str, told: Mapping[str, Any]) -> None:
    """Keep what was found in the run's folder, and write its card anew. Where that cannot be written, it is noted: what
    was found is still shown."""
    from honewise.runs import card
    from honewise.runs.kept import keep
    from honewise.runs.run import Run

    try:
        note(f"kept: {keep(folder, kind, source, told)}")
        with Run.open(folder) as run:
            card.write(run)
    except OSError as error:
        note(f"not kept with the run: {error}")
