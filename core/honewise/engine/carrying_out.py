"""Carrying out the steps of a trainer: callbacks, progress, Ctrl-C, and going on from a checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from transformers import PrinterCallback, TrainerCallback

from honewise.models.policy import quiet
from honewise.runs.run import StageContext

from .callbacks import Interrupt, deferred_interrupt
from .checkpoints import ExactCheckpoints, checkpoint_step

__all__ = ["carry_out"]

Trainer = TypeVar("Trainer", bound=ExactCheckpoints)


def carry_out(
    ctx: StageContext,
    build: Callable[[], Trainer],
    callbacks: Sequence[TrainerCallback],
    *,
    what: str | None = None,
    keep: int,
    total: int | None,
    checkpoint: Path | None,
    done: bool,
    interrupt: Interrupt | None = None,
) -> Trainer:
    """Build a trainer in silence and train; returns it. ``what`` names the work to a person; left out, the stage does.

    ``total`` is the number of steps, where it is known. With a ``checkpoint``, on from there; where it is ``done``, its
    weights are loaded. The first Ctrl-C ends the step, writes a checkpoint and is raised.
    """
    interrupt = interrupt or Interrupt()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer = build()
        trainer.keep = keep
        trainer.remove_callback(PrinterCallback)  # type: ignore[attr-defined]
        for callback in (*callbacks, interrupt):
            trainer.add_callback(callback)  # type: ignore[attr-defined]
        ctx.progress.start(what or ctx.stage, total=total)
        if checkpoint:
            ctx.progress.advance(checkpoint_step(checkpoint))
        try:
            with deferred_interrupt(interrupt, ctx.progress):
                trainer.go_on(checkpoint, done=checkpoint is not None and done)
        finally:
            ctx.progress.done()
    return trainer
