"""Where the time of a step goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

import torch
from transformers import TrainerCallback

__all__ = ["PhaseClock", "Phases", "Timed"]


class Phases:
    """Seconds by phase. Of phases within one another, each has its own time only.

    ``generate``: sampling. ``score``: rewards and judges. ``logps``: log-probabilities, entropies and values of what
    was sampled. ``credit``: all else between a prompt and its advantages. ``update``: forward, backward and optimizer.
    ``other``: what is left of a step, such as logging, the store and checkpoints.
    """

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._within: list[float] = []
        self._since = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        self._within.append(0.0)
        try:
            yield
        finally:
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            took = time.perf_counter() - began
            self._sums[name] += took - self._within.pop()
            if self._within:
                self._within[-1] += took

    def start(self) -> None:
        """A step begins now, whatever was before."""
        self._since = time.perf_counter()
        self._sums.clear()

    def take(self) -> dict[str, float]:
        """``seconds/PHASE`` since the last call, and ``seconds/step``, their sum."""
        now = time.perf_counter()
        whole, self._since = now - self._since, now
        found = {f"seconds/{name}": value for name, value in self._sums.items()}
        self._sums.clear()
        return found | {"seconds/other": whole - sum(found.values()), "seconds/step": whole}


class PhaseClock(TrainerCallback):
    """Counts the time between the beginning and the end of a step, but for its inner phases, as ``update``."""

    def __init__(self, phases: Phases) -> None:
        self._phases = phases
        self._running: AbstractContextManager[None] | None = None

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._phases.start()

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._running = self._phases("update")
        self._running.__enter__()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if self._running is not None:
            self._running.__exit__(None, None, None)
            self._running = None


class Timed:
    """Mixed into a trainer of TRL; it has ``phases``, and what is computed without gradients counts as ``logps``."""

    @cached_property
    def phases(self) -> Phases:
        return Phases()

    def _get_per_token_logps_and_entropies(self, *args: Any, **keywords: Any) -> Any:
        with nullcontext() if torch.is_grad_enabled() else self.phases("logps"):
            return super()._get_per_token_logps_and_entropies(*args, **keywords)  # type: ignore[misc]
