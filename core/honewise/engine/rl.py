"""The ``rl`` stage: from a policy and tasks to a better policy."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from transformers import PrinterCallback

from honewise.algorithms import Estimator
from honewise.contracts import Task
from honewise.errors import BudgetExceeded
from honewise.models.critic import save_critic
from honewise.models.policy import Policy, quiet
from honewise.models.text import prompt_ids
from honewise.recipes.schema import RlStage
from honewise.runs.run import StageContext

from .actor_critic import detach
from .callbacks import Interrupt, StepMark, StepWriter, deferred_interrupt
from .checkpoints import checkpoint_step, gather_weights, newest_checkpoint
from .held_out import HeldOut, Look
from .phases import PhaseClock
from .references import fix_reference
from .rl_setup import make_setup, refuse, rl_arguments
from .setup import RolloutScores
from .trainer import CreditTrainer

__all__ = ["CRITIC_FOLDER", "Trained", "check_rl", "rl_arguments", "train_rl"]

CRITIC_FOLDER = "critic"
"""Where a stage leaves its critic, beside the policy."""


@dataclass(frozen=True, slots=True)
class Trained:
    """How a training stage ended."""

    steps: int
    """Optimizer steps in all, over all resumes."""
    seconds: float
    """Of this process."""
    reference: str | None = None
    """Hub id or folder of the policy that a KL term refers to."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Those of the last step."""


def train_rl(
    ctx: StageContext,
    stage: RlStage,
    policy: Policy,
    tasks: Sequence[Task],
    scorer: RolloutScores,
    estimator: Estimator,
    *,
    max_unscored: float = 1.0,
    critic_start: Path | None = None,
    look: Callable[[int], Look] | None = None,
    mixture: Mapping[str, float] | None = None,
) -> Trained:
    """Train ``policy`` in place on ``tasks``; with ``ctx.resume``, on from the newest complete checkpoint.

    ``policy`` is the one that the stage starts from, on a resume as well; ``critic_start`` is the folder of the reward
    model that a critic's trunk starts from, where the stage names one; ``look`` measures the policy on held-out tasks,
    where the stage has ``stop``; ``mixture`` is the weight of each domain, in a run of several. Steps and their
    completions go to the store; a critic is left in the stage's folder ``critic``. A Ctrl-C ends the step, writes a
    checkpoint and is raised; so is ``BudgetExceeded``. Raises ``UserError`` where arguments, estimator and placement do
    not fit together.
    """
    setup = make_setup(ctx, stage, tasks, scorer, estimator, max_unscored, policy=policy, critic_start=critic_start,
                       mixture=mixture)  # fmt: skip
    checkpoint = newest_checkpoint(ctx.folder) if ctx.resume else None
    ctx.store.truncate(ctx.stage, checkpoint_step(checkpoint) if checkpoint else 0)
    args = rl_arguments(ctx, stage)
    refuse(args, setup, stage, ctx.place.sharding)
    _check_lengths(ctx, policy, tasks, args.max_completion_length)
    reference = fix_reference(ctx, policy) if args.beta else None
    interrupt, mark, began = Interrupt(), StepMark(), time.perf_counter()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer = CreditTrainer(policy.model, setup, args, policy.tokenizer)
        trainer.remove_callback(PrinterCallback)
        held_out = _held_out(ctx, stage, look)
        for callback in (PhaseClock(trainer.phases), held_out, _writer(ctx, trainer, held_out), interrupt, mark):
            if callback is not None:
                trainer.add_callback(callback)
        # Processes may decide apart whether a batch is worth sharing, which those that gather weights together cannot.
        sharing = stage.shared_prefix == "auto" and not ctx.place.sharding
        shared = trainer.shared_prompts() if sharing else contextlib.nullcontext()
        ctx.progress.start(ctx.stage, total=stage.steps)
        if checkpoint:
            ctx.progress.advance(checkpoint_step(checkpoint))
        try:
            with deferred_interrupt(interrupt, ctx.progress), shared:
                trainer.go_on(checkpoint, done=checkpoint is not None and checkpoint_step(checkpoint) >= stage.steps)
        except BudgetExceeded:
            _save_before_stopping(trainer, mark)
            raise
        finally:
            # Those of a step that was not finished were paid for, too.
            ctx.store.write_calls(ctx.stage, trainer.state.global_step + 1, trainer.take_calls())
            ctx.progress.done()
    _leave_critic(trainer, ctx)
    if held_out is not None:
        held_out.bring_back(trainer.model)
    gather_weights(trainer, policy)
    policy.path = None
    policy.model.eval()
    last = ctx.store.metrics(ctx.stage).get(trainer.state.global_step, {})
    return Trained(trainer.state.global_step, time.perf_counter() - began, reference, last)


def _held_out(ctx: StageContext, stage: RlStage, look: Callable[[int], Look] | None) -> HeldOut | None:
    if stage.stop is None or look is None:
        return None
    made = HeldOut(stage.stop, look, ctx.folder, first=ctx.place.first, note=ctx.progress.note)
    made.restore(ctx.store.metrics(ctx.stage))
    return made


def _writer(ctx: StageContext, trainer: CreditTrainer, held_out: HeldOut | None) -> StepWriter:
    if held_out is None:
        return StepWriter(ctx, trainer.take_rows, trainer.take_calls, trainer.phases.take)
    return StepWriter(
        ctx,
        trainer.take_rows,
        lambda: [*trainer.take_calls(), *held_out.take_calls()],
        lambda: trainer.phases.take() | held_out.take(),
    )


def check_rl(
    ctx: StageContext,
    stage: RlStage,
    tasks: Sequence[Task],
    scorer: RolloutScores,
    estimator: Estimator,
    mixture: Mapping[str, float] | None = None,
) -> None:
    """Raise the ``UserError`` that ``train_rl`` would, before a model is loaded or an earlier stage is run."""
    setup = make_setup(ctx, stage, tasks, scorer, estimator, 1.0, mixture=mixture)
    refuse(rl_arguments(ctx, stage), setup, stage, ctx.place.sharding)


def _leave_critic(trainer: CreditTrainer, ctx: StageContext) -> None:
    """The critic is taken out of the policy and saved beside it."""
    if trainer.critic is None:
        return
    if trainer.accelerator.is_main_process:
        save_critic(trainer.critic, Path(ctx.folder) / CRITIC_FOLDER)
    detach(trainer.model)


def _check_lengths(ctx: StageContext, policy: Policy, tasks: Sequence[Task], completion: int) -> None:
    """Say where prompt and completion together are longer than what the model was made for."""
    context = policy.context
    if context is None:
        return
    with quiet():
        lengths = [len(prompt_ids(policy.tokenizer, task.prompt)) for task in tasks]
    over = sum(length + completion > context for length in lengths)
    if over:
        ctx.progress.note(
            f"{over} of {len(tasks)} prompts (the longest has {max(lengths)} tokens) leave less than"
            f" {completion} tokens of the model's context of {context} for the completion"
        )


def _save_before_stopping(trainer: CreditTrainer, mark: StepMark) -> None:
    """A checkpoint of the last finished step, where the failed one has not yet changed anything."""
    aligned = trainer._step == trainer.state.global_step * trainer.args.gradient_accumulation_steps
    if aligned and trainer.state.global_step > 0:
        mark.restore(trainer.state)
        with torch.no_grad():
            trainer._save_checkpoint(trainer.model, trial=None)
