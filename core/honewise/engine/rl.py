"""The ``rl`` stage: from a policy and tasks to a better policy."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback

from honewise.algorithms import Estimator
from honewise.contracts import Task
from honewise.errors import BudgetExceeded, UserError
from honewise.models.policy import Policy, quiet, save_policy
from honewise.models.text import prompt_ids
from honewise.recipes.schema import RlStage
from honewise.runs.run import StageContext

from .arguments import configure, convert
from .callbacks import Interrupt, StepMark, StepWriter, deferred_interrupt
from .checkpoints import checkpoint_step, newest_checkpoint
from .trainer import CreditTrainer, Scores, Setup

__all__ = ["Trained", "check_rl", "rl_arguments", "train_rl"]

REFERENCE_FOLDER = "reference"
"""Where a stage keeps the policy it started from, when a KL term needs it and it stands nowhere else."""


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
    scorer: Scores,
    estimator: Estimator,
    *,
    max_unscored: float = 1.0,
) -> Trained:
    """Train ``policy`` in place on ``tasks``; with ``ctx.resume``, on from the newest complete checkpoint.

    ``policy`` is the one that the stage starts from, on a resume as well. Steps and their completions go to the store.
    A Ctrl-C ends the step, writes a checkpoint and is raised; so is ``BudgetExceeded``. Raises ``UserError``
    where arguments, estimator and placement do not fit together.
    """
    setup = _setup(ctx, stage, tasks, scorer, estimator, max_unscored)
    checkpoint = newest_checkpoint(ctx.folder) if ctx.resume else None
    ctx.store.truncate(ctx.stage, checkpoint_step(checkpoint) if checkpoint else 0)
    args = rl_arguments(ctx, stage)
    _refuse(args, setup, stage)
    _check_lengths(ctx, policy, tasks, args.max_completion_length)
    reference = _fix_reference(ctx, policy) if args.beta else None
    interrupt, mark, began = Interrupt(), StepMark(), time.perf_counter()
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        trainer = CreditTrainer(policy.model, setup, args, policy.tokenizer)
        trainer.remove_callback(PrinterCallback)
        for callback in (StepWriter(ctx, trainer.take_rows, trainer.take_calls), interrupt, mark):
            trainer.add_callback(callback)
        ctx.progress.start(ctx.stage, total=stage.steps)
        if checkpoint:
            ctx.progress.advance(checkpoint_step(checkpoint))
        try:
            with deferred_interrupt(interrupt, ctx.progress), trainer.shared_prompts():
                trainer.go_on(checkpoint, done=checkpoint is not None and checkpoint_step(checkpoint) >= stage.steps)
        except BudgetExceeded:
            _save_before_stopping(trainer, mark)
            raise
        finally:
            # Those of a step that was not finished were paid for, too.
            ctx.store.write_calls(ctx.stage, trainer.state.global_step + 1, trainer.take_calls())
            ctx.progress.done()
    policy.path = None
    policy.model.eval()
    last = ctx.store.metrics(ctx.stage).get(trainer.state.global_step, {})
    return Trained(trainer.state.global_step, time.perf_counter() - began, reference, last)


def check_rl(ctx: StageContext, stage: RlStage, tasks: Sequence[Task], scorer: Scores, estimator: Estimator) -> None:
    """Raise the ``UserError`` that ``train_rl`` would, before a model is loaded or an earlier stage is run."""
    _refuse(rl_arguments(ctx, stage), _setup(ctx, stage, tasks, scorer, estimator, 1.0), stage)


def rl_arguments(ctx: StageContext, stage: RlStage) -> Any:
    """The ``GRPOConfig`` of a stage. What the recipe does not say is TRL's default, except: the loss is ``dr_grpo``
    (the only one under which ``dense-return`` is unbiased), activations are kept on a CPU, and nothing is reported to
    outside services."""
    given = convert("grpo", stage.trainer)
    batch = stage.prompts * stage.samples
    per_device = given.pop("per_device_train_batch_size", None) or batch
    if batch % per_device:
        raise UserError(
            f"per_device_train_batch_size: {per_device} does not divide the {batch} completions of a step"
            f" ({stage.prompts} prompts x {stage.samples} samples)"
        )
    on_cpu = ctx.device == "cpu"
    ours: dict[str, Any] = {
        "output_dir": str(ctx.folder),
        "max_steps": stage.steps,
        "num_generations": stage.samples,
        "generation_batch_size": batch,
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": batch // per_device,
        "temperature": stage.temperature,
        "top_p": stage.top_p,
        "scale_rewards": "none",
        "loss_type": "dr_grpo",
        "seed": ctx.seed,
        "use_cpu": on_cpu,
        "gradient_checkpointing": not on_cpu,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": stage.save_every or max(1, -(-stage.steps // 10)),
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    if on_cpu:
        ours |= {"bf16": False, "fp16": False}
        given = {name: value for name, value in given.items() if name not in ("bf16", "fp16", "tf32")}
    return configure("grpo", ours | given)


def _setup(
    ctx: StageContext,
    stage: RlStage,
    tasks: Sequence[Task],
    scorer: Scores,
    estimator: Estimator,
    max_unscored: float,
) -> Setup:
    options = dict(stage.estimator_options)
    if "scale" in estimator.options:
        options.setdefault("scale", stage.scale)
    elif stage.scale != "none":
        raise UserError(f"scale: estimator {estimator.name!r} cannot scale; set scale: none")
    estimator.check(options)
    if len(tasks) < stage.prompts:
        raise UserError(f"prompts: {stage.prompts} tasks a step, but there are only {len(tasks)} training tasks")
    if any(task.images for task in tasks):
        raise UserError("data.train: these tasks show pictures, and this stage trains policies that read text only")
    return Setup(tasks, scorer, estimator, options, stage.placement, max_unscored, stage.keep, ctx.progress.note)


def _refuse(args: Any, setup: Setup, stage: RlStage) -> None:
    """Combinations that would train on something else than what was asked for."""
    estimator = setup.estimator
    if args.importance_sampling_level == "sequence" and estimator.dense and setup.placement != "terminal":
        raise UserError(
            "trainer.importance_sampling_level: 'sequence' gives all tokens of a completion one ratio, which clips"
            f" dense credit by the whole completion; use 'token' with {estimator.name!r}, or placement: terminal"
        )
    if "values" in estimator.needs:
        raise UserError(f"estimator: {estimator.name!r} needs a critic, which algorithm {stage.algorithm!r} has not")
    if "greedy" in estimator.needs:
        raise UserError(
            f"estimator: {estimator.name!r} needs a greedy completion of each prompt, which algorithm"
            f" {stage.algorithm!r} does not sample"
        )
    if "ref_logps" in estimator.needs and not args.beta:
        raise UserError(f"estimator: {estimator.name!r} needs a reference policy; set trainer.beta above 0")


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


def _fix_reference(ctx: StageContext, policy: Policy) -> str:
    """Where the policy that the stage started from stands, for TRL to load as the reference; the same on a resume.

    TRL reads a full model's reference from the path in its configuration, which is here made to hold these weights.
    An adapter's reference is a copy of the adapter within the model.
    """
    folder = Path(ctx.folder) / REFERENCE_FOLDER
    if policy.path is None and not (folder / "complete").exists():
        save_policy(policy, folder)
        (folder / "complete").touch()
    reference = policy.path or str(folder)
    if not policy.adapted:
        policy.model.config._name_or_path = reference
        policy.model.name_or_path = reference
    return reference


def _save_before_stopping(trainer: CreditTrainer, mark: StepMark) -> None:
    """A checkpoint of the last finished step, where the failed one has not yet changed anything."""
    aligned = trainer._step == trainer.state.global_step * trainer.args.gradient_accumulation_steps
    if aligned and trainer.state.global_step > 0:
        mark.restore(trainer.state)
        with torch.no_grad():
            trainer._save_checkpoint(trainer.model, trial=None)
