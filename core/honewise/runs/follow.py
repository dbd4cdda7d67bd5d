"""A run as processes other than the first see it: they read what it writes, and write nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from honewise.recipes.schema import Recipe

from .run import Run
from .store import StageState, State, Store

__all__ = ["FollowedStore", "follow"]


def follow(path: str | Path, recipe: Recipe) -> Run:
    """The run that the first process has made or resumed."""
    folder = Path(path)
    return Run(folder, recipe, FollowedStore(folder / "run.sqlite"))


class FollowedStore(Store):
    """Reads beside its writer; what it is told to write, the writer writes."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, readonly=True)

    def set_fact(self, name: str, value: str) -> None:
        pass

    def start_stage(self, stage: str, kind: str, position: int) -> StageState:
        return StageState(stage, kind, position, "running", 0.0, "", 0)

    def set_stage(self, stage: str, state: State, *, seconds: float | None = None, reason: str = "") -> None:
        pass

    def write_step(self, *_: Any, **__: Any) -> None:
        pass

    def write_calls(self, *_: Any, **__: Any) -> None:
        pass

    def add_metrics(self, stage: str, step: int, metrics: Mapping[str, float]) -> None:
        pass

    def truncate(self, stage: str, after_step: int) -> int:  # noqa: ARG002 - that of every store
        return 0

    def write_eval(self, *_: Any, **__: Any) -> None:
        pass

    def write_comparison(self, *_: Any, **__: Any) -> None:
        pass
