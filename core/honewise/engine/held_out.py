"""Looks at held-out tasks while training goes on: when it ends early, and which of its policies is kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from honewise.clients.ledger import CallRecord
from honewise.recipes.policy_gradient import StopSpec

from .processes import wait

__all__ = ["BEST_FILE", "PREFIX", "HeldOut", "Look"]

PREFIX = "held_out/"
"""Of the numbers of a look, among those of its step."""

BEST_FILE = "best.pt"
"""The weights of the best look, in the stage's folder, while the stage is under way."""


@dataclass(slots=True)
class Look:
    """What the policy did on the held-out tasks after one step."""

    numbers: Mapping[str, float]
    calls: Sequence[CallRecord] = field(default_factory=list)
    """What the judge was asked."""


class HeldOut(TrainerCallback):
    """Looks every so many steps, ends training where looks no longer get better, and brings the best policy back.

    Args:
        spec: how often, by which number, and how patiently.
        look: what is done; it must leave the state of training alone, and all processes must get the same from it.
        folder: the stage's.
        first: whether this process is the one that writes.
        note: told why training ends.
    """

    def __init__(
        self,
        spec: StopSpec,
        look: Callable[[int], Look],
        folder: Path,
        *,
        first: bool = True,
        note: Callable[[str], None] = print,
    ) -> None:
        self.spec, self.look, self.file, self.first, self.note = spec, look, Path(folder) / BEST_FILE, first, note
        self.best: tuple[float, int] | None = None
        """The best value and its step."""
        self._seen = 0
        """Looks since then."""
        self._numbers: dict[str, float] = {}
        self._calls: list[CallRecord] = []

    def restore(self, metrics: Mapping[int, Mapping[str, float]]) -> None:
        """Looks of the steps before a resume, as the store has them."""
        for step, numbers in sorted(metrics.items()):
            found = {name.removeprefix(PREFIX): value for name, value in numbers.items() if name.startswith(PREFIX)}
            if found:
                self._judge(step, found)

    def take(self) -> dict[str, float]:
        """Numbers of the last look, as the store takes them, once."""
        numbers, self._numbers = self._numbers, {}
        return {f"{PREFIX}{name}": value for name, value in numbers.items()}

    def take_calls(self) -> list[CallRecord]:
        """What the judge was asked since the last call."""
        calls, self._calls = self._calls, []
        return calls

    def on_step_end(
        self, _args: Any, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        if state.global_step % self.spec.every and state.global_step < state.max_steps:
            return
        found = self.look(state.global_step)
        self._numbers, self._calls = dict(found.numbers), [*self._calls, *found.calls]
        if self._judge(state.global_step, found.numbers):
            self._keep(model)
        if self._seen >= self.spec.patience and state.global_step < state.max_steps:
            assert self.best is not None
            value, step = self.best
            self.note(
                f"stopping after step {state.global_step}: {self.spec.by} on held-out tasks was best after step"
                f" {step} ({value:.4g}), and {self._seen} looks since were not better"
            )
            control.should_save = True
            control.should_training_stop = True

    def bring_back(self, model: Any) -> int | None:
        """Give ``model`` the weights of the best look; returns its step. Without a look nothing happens."""
        wait()
        if self.best is None or not self.file.is_file():
            return None
        kept = torch.load(self.file, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, value in _trained(model).items():
                value.copy_(kept[name])
        wait()
        if self.first:
            self.file.unlink()
        return self.best[1]

    def _judge(self, step: int, numbers: Mapping[str, float]) -> bool:
        """Note a look; whether it is the best so far. One without the number, such as of a judge that is down, counts
        as no look."""
        value = numbers.get(self.spec.by)
        if value is None:
            return False
        if self.best is None or value > self.best[0] + self.spec.delta:
            self.best, self._seen = (value, step), 0
            return True
        self._seen += 1
        return False

    def _keep(self, model: Any) -> None:
        if not self.first:
            return
        draft = self.file.with_suffix(".draft")
        torch.save({name: value.detach().cpu() for name, value in _trained(model).items()}, draft)
        os.replace(draft, self.file)


def _trained(model: Any) -> dict[str, Any]:
    """What training changes, by names that no wrapper changes; a critic is not part of the policy."""
    bare = model.module if hasattr(model, "module") else model
    return {
        name: value for name, value in bare.named_parameters() if value.requires_grad and not name.startswith("critic.")
    }
