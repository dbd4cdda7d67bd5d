"""What happens beside the steps: the store and the progress bar, a budget of seconds, and a wish to stop."""

from __future__ import annotations

import math
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from honewise.clients.ledger import CallRecord
from honewise.progress import Progress
from honewise.runs.rows import RolloutRow
from honewise.runs.run import StageContext

from .processes import agree

__all__ = ["Interrupt", "SecondsBudget", "StepMark", "StepWriter", "deferred_interrupt"]

_SHOWN = re.compile(r"reward|loss|accuracy|margin|unscored|rewards/(margins|accuracies|.*/mean)|judge/(calls|cost)")


class StepWriter(TrainerCallback):
    """Each step's numbers, with the completions that were sampled for it, in one transaction of the store."""

    def __init__(
        self,
        ctx: StageContext,
        take_rows: Callable[[], list[RolloutRow]] = list,
        take_calls: Callable[[], list[CallRecord]] = list,
        take_seconds: Callable[[], dict[str, float]] = dict,
        *,
        step_of: Callable[[int], int] = int,
        prefix: str = "",
    ) -> None:
        self.ctx = ctx
        self.take_rows, self.take_calls, self.take_seconds = take_rows, take_calls, take_seconds
        self.step_of = step_of  # where an optimizer step stands in the store
        self.prefix = prefix  # of the names of what is stored

    def on_log(
        self, _args: Any, state: TrainerState, _control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if _is_number(value)} | self.take_seconds()
        named = {f"{self.prefix}{name}": value for name, value in numbers.items()}
        rows, calls = self.take_rows(), self.take_calls()
        self.ctx.store.write_step(self.ctx.stage, self.step_of(state.global_step), named, rows, calls)
        self.ctx.progress.advance(1, **{n: value for n, value in numbers.items() if _SHOWN.fullmatch(n)})


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


class SecondsBudget(TrainerCallback):
    """Ends training after so many seconds, counted over all resumes; the time of a lost step does not count."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.seconds = seconds
        self._spent, self._since = spent, time.monotonic()

    @property
    def spent(self) -> float:
        return self._spent + time.monotonic() - self._since

    def restore(self, spent: float) -> None:
        self._spent, self._since = spent, time.monotonic()

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._since = time.monotonic()

    def on_step_end(self, _args: Any, _state: Any, control: TrainerControl, **_: Any) -> None:
        if self.seconds < float("inf") and agree(self.spent >= self.seconds):
            control.should_save = True
            control.should_training_stop = True


class StepMark(TrainerCallback):
    """Remembers the random states and the count of tokens at the end of the last step, for a checkpoint that is written
    later than that."""

    def __init__(self) -> None:
        self._states: tuple[Any, ...] | None = None
        self._tokens: int | float = 0

    def on_step_end(self, _args: Any, state: TrainerState, *_: Any, **__: Any) -> None:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
        self._states = (random.getstate(), np.random.get_state(), torch.random.get_rng_state(), cuda)
        self._tokens = state.num_input_tokens_seen

    def restore(self, state: TrainerState) -> None:
        if self._states is None:
            return
        state.num_input_tokens_seen = self._tokens
        python, numpy, cpu, cuda = self._states
        random.setstate(python)
        np.random.set_state(numpy)
        torch.random.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


class Interrupt(TrainerCallback):
    """After the step in which one of the processes was asked to stop: a checkpoint, and the end of training on all.

    What this process was asked, and what all of them agreed on, are told apart: a Ctrl-C reaches the processes one
    after the other, while they speak to each other, too. It must not be lost to an answer given before it came, and
    the first one here is not a second one because another process heard of it before.
    """

    def __init__(self) -> None:
        self.asked = False
        self.agreed = False

    def on_step_end(self, _args: Any, _state: Any, control: TrainerControl, **_: Any) -> None:
        if self.stop():
            control.should_save = True
            control.should_training_stop = True

    def stop(self) -> bool:
        """Whether to stop, by all of the processes; each of them has to ask."""
        self.agreed = agree(self.asked) or self.agreed
        return self.agreed


@contextmanager
def deferred_interrupt(interrupt: Interrupt, progress: Progress) -> Iterator[None]:
    """The first Ctrl-C lets the step end and a checkpoint be written, then raises; the second raises at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: Any) -> None:
        if interrupt.asked:
            raise KeyboardInterrupt
        interrupt.asked = True
        progress.note("stopping after this step, with a checkpoint; Ctrl-C again stops at once and loses the step")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
        if interrupt.stop():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
