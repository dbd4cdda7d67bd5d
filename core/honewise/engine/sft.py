"""The ``sft`` stage: show the policy what good completions look like."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PreTrainedTokenizerBase
from trl import SFTTrainer

from honewise.contracts import Message, Task
from honewise.errors import UserError
from honewise.models.policy import Policy, quiet
from honewise.models.sampling import derive_seed
from honewise.models.text import encode
from honewise.recipes.schema import SftStage
from honewise.runs.run import StageContext

from .arguments import configure, convert
from .callbacks import SecondsBudget, StepWriter
from .carrying_out import carry_out
from .checkpoints import ExactCheckpoints, checkpoint_step, gather_weights, newest_checkpoint, stored_state
from .rl import Trained

__all__ = [
    "DemonstrationTrainer",
    "EpochOrder",
    "RisingOrder",
    "encode_demonstration",
    "is_done",
    "sft_arguments",
    "train_sft",
]

IGNORED = -100
"""Label of tokens that are read and not learnt."""

_UNBOUNDED = 10_000_000


def train_sft(
    ctx: StageContext,
    stage: SftStage,
    policy: Policy,
    pairs: Sequence[tuple[Task, str]],
    *,
    seconds: float | None = None,
    after: int = 0,
    levels: Sequence[int] = (),
) -> Trained:
    """Train ``policy`` in place on prompts with their completions; the loss is that of the completions alone.

    Ends after ``stage.steps``, or once ``seconds`` (left out: ``stage.seconds``, where it is a number) have passed,
    whichever comes first; one of them must be given. With ``ctx.resume``, goes on from the newest complete checkpoint,
    whose seconds count. A Ctrl-C ends the step, writes a checkpoint and is raised. ``after``: steps that the stage has
    in the store before those of training. ``levels``, one of each pair and at least 1: ``stage.steps`` fall into as
    many equal phases as the highest says, and a pair is shown in so many of them, from the first on.
    """
    budget = seconds if seconds is not None else stage.seconds
    if isinstance(budget, str):
        raise UserError(f"seconds: {budget!r} must be resolved to a number before the stage is run")
    if budget is None and stage.steps is None:
        raise UserError("sft: say how long, with `steps` or `seconds`")
    rows, levels = _rows(ctx, stage, policy, pairs, levels)
    checkpoint = newest_checkpoint(ctx.folder) if ctx.resume else None
    ctx.store.truncate(ctx.stage, after + (checkpoint_step(checkpoint) if checkpoint else 0))
    args = sft_arguments(ctx, stage)
    clock, began = SecondsBudget(budget or float("inf")), time.perf_counter()
    trainer = carry_out(
        ctx,
        lambda: DemonstrationTrainer(policy.model, rows, args, policy.tokenizer, clock, levels),
        (StepWriter(ctx, step_of=lambda step: after + step), clock),
        keep=stage.keep,
        total=stage.steps,
        checkpoint=checkpoint,
        done=checkpoint is not None and is_done(checkpoint, stage.steps, clock),
    )
    gather_weights(trainer, policy)
    policy.path = None
    policy.model.eval()
    last = ctx.store.metrics(ctx.stage).get(after + trainer.state.global_step, {})
    return Trained(trainer.state.global_step, time.perf_counter() - began, None, last)


def is_done(checkpoint: Path, steps: int | None, clock: SecondsBudget) -> bool:
    """Whether the checkpoint's steps or seconds are all that was asked for."""
    done, spent = checkpoint_step(checkpoint), float(stored_state(checkpoint)["seconds"])
    return spent >= clock.seconds or (steps is not None and done >= steps)


class EpochOrder(Sampler[int]):
    """Every row once an epoch, in an order that follows from the seed and the epoch alone."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed, self.epoch = rows, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "epoch", self.epoch))
        yield from torch.randperm(self.rows, generator=generator).tolist()


class RisingOrder(Sampler[int]):
    """Phases of as many draws: in each, rows that reach it, every one once before any again; see ``train_sft``.

    All of it is one epoch, so that a checkpoint within it goes on where it was.
    """

    def __init__(self, levels: Sequence[int], draws: int, seed: int) -> None:
        self.levels, self.draws, self.seed = tuple(levels), draws, seed

    def __len__(self) -> int:
        return self.draws * max(self.levels)

    def __iter__(self) -> Iterator[int]:
        for phase in range(max(self.levels)):
            pool = [row for row, level in enumerate(self.levels) if level > phase]
            for drawn in range(self.draws):
                turn, place = divmod(drawn, len(pool))
                if place == 0:
                    generator = torch.Generator().manual_seed(derive_seed(self.seed, "phase", phase, turn))
                    order = torch.randperm(len(pool), generator=generator).tolist()
                yield pool[order[place]]


class DemonstrationTrainer(ExactCheckpoints, SFTTrainer):
    """TRL's SFT trainer on encoded rows, with honewise's order and checkpoints."""

    def __init__(
        self,
        model: Any,
        rows: Sequence[Mapping[str, Any]],
        args: Any,
        tokenizer: Any,
        clock: SecondsBudget,
        levels: Sequence[int] = (),
    ) -> None:
        self.clock, self.levels = clock, levels
        super().__init__(
            model=model, args=args, train_dataset=Dataset.from_list(list(rows)), processing_class=tokenizer
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        phases = max(self.levels, default=1)
        if phases == 1:
            return EpochOrder(len(dataset), self.args.seed)
        each = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size
        return RisingOrder(self.levels, self.args.max_steps // phases * each, self.args.seed)

    def exact_state(self) -> dict[str, Any]:
        return {"seconds": self.clock.spent, "tokens": self._total_train_tokens}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        self.clock.restore(state["seconds"])
        self._total_train_tokens = state["tokens"]


def encode_demonstration(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], gold: str
) -> dict[str, list[int]]:
    """``input_ids`` and ``labels`` of a prompt and its completion; the labels of the prompt are ``IGNORED``."""
    prompt, said = encode(tokenizer, messages, gold)
    return {"input_ids": prompt + said, "labels": [IGNORED] * len(prompt) + said}


def sft_arguments(ctx: StageContext, stage: SftStage) -> Any:
    """The ``SFTConfig`` of a stage. What the recipe does not say is TRL's default, except that activations are kept on
    a CPU, the learning rate is constant where the end is a matter of seconds, and nothing is reported to outside
    services."""
    given = convert("sft", stage.trainer)
    on_cpu = ctx.device == "cpu"
    each, left = divmod(stage.batch, ctx.place.count)
    if left:
        raise UserError(f"batch: {ctx.place.count} processes do not divide the batch of {stage.batch}")
    per_device = given.pop("per_device_train_batch_size", None) or each
    if each % per_device:
        over = f" in {ctx.place.count} processes" if ctx.place.count > 1 else ""
        raise UserError(f"per_device_train_batch_size: {per_device} does not divide the batch of {stage.batch}{over}")
    steps = stage.steps or _UNBOUNDED
    ours: dict[str, Any] = {
        "output_dir": str(ctx.folder),
        "max_steps": steps,
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": each // per_device,
        "max_length": None,
        "dataset_kwargs": {"skip_prepare_dataset": True},
        "seed": ctx.seed,
        "use_cpu": on_cpu,
        "gradient_checkpointing": not on_cpu,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": stage.save_every or (max(1, -(-stage.steps // 10)) if stage.steps else 100),
        "report_to": "none",
        "disable_tqdm": True,
    }
    if stage.steps is None:
        ours["lr_scheduler_type"] = "constant"
    if on_cpu:
        ours |= {"bf16": False, "fp16": False}
        given = {name: value for name, value in given.items() if name not in ("bf16", "fp16", "tf32")}
    return configure("sft", ours | given)


def _rows(
    ctx: StageContext, stage: SftStage, policy: Policy, pairs: Sequence[tuple[Task, str]], levels: Sequence[int]
) -> tuple[list[dict[str, list[int]]], list[int]]:
    """Encoded demonstrations with their levels; those that the model cannot hold are left out, and it is said."""
    if not pairs:
        raise UserError("sft: no training task has a completion to learn from, so there is nothing to show")
    with quiet():
        rows = [encode_demonstration(policy.tokenizer, task.prompt, gold) for task, gold in pairs]
    limit = convert("sft", stage.trainer).get("max_length") or policy.context
    fits = [limit is None or len(row["input_ids"]) <= limit for row in rows]
    kept = list(compress(rows, fits))
    if not kept:
        raise UserError(f"sft: every demonstration is longer than {limit} tokens; raise the policy's context")
    if len(kept) < len(rows):
        over = len(rows) - len(kept)
        ctx.progress.note(f"{over} of {len(rows)} demonstrations are longer than {limit} tokens and left out")
    return kept, list(compress(levels, fits))
