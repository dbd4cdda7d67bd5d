"""The ``dpo`` stage: a policy trained on pairs, held to a reference."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import DPOTrainer

from honewise.algorithms import divergence_score, nll_term, pair_loss, trl_divergence
from honewise.errors import UserError
from honewise.models.policy import Policy
from honewise.recipes.preference import DpoStage
from honewise.runs.run import StageContext
from honewise.scoring.pairs import Pair

from .arguments import convert, on_device
from .callbacks import SecondsBudget, StepWriter
from .carrying_out import carry_out
from .checkpoints import ExactCheckpoints, checkpoint_step, gather_weights, newest_checkpoint
from .pairs import EXTRAS, PairCollator, encode_pairs, part_of, split_batch, steps_of
from .references import fix_reference
from .rl import Trained
from .sft import EpochOrder, is_done

__all__ = ["LossSpec", "PreferenceTrainer", "dpo_arguments", "train_dpo"]

LOGISTIC = ("sigmoid", "sigmoid_norm")
"""Losses that are a logistic function of a gap: those that know what a soft target, a margin and a clamp are."""

UNBOUNDED = 10_000_000
"""Steps where seconds end a stage."""


def train_dpo(
    ctx: StageContext, stage: DpoStage, policy: Policy, pairs: Sequence[Pair], *, seconds: float | None = None
) -> Trained:
    """Train ``policy`` in place on pairs; the reference is the policy as it is now, on a resume as well.

    Ends after the stage's steps or epochs, or once ``seconds`` have passed. With ``ctx.resume``, goes on from the
    newest complete checkpoint. A Ctrl-C ends the step, writes a checkpoint and is raised. Raises ``UserError`` where
    pairs, losses and arguments do not fit together.
    """
    limit = convert("dpo", stage.trainer).get("max_length") or policy.context
    rows = encode_pairs(pairs, stage, policy.tokenizer, limit, ctx.progress)
    steps = steps_of(stage, len(rows), endless=seconds is not None)
    args = dpo_arguments(ctx, stage, steps, rows=len(rows))
    loss = LossSpec.of(stage, rows)
    checkpoint = newest_checkpoint(ctx.folder) if ctx.resume else None
    ctx.store.truncate(ctx.stage, checkpoint_step(checkpoint) if checkpoint else 0)
    if ctx.place.count > 1 and loss.ours and loss.theirs() and _weighted(rows):
        raise UserError(
            f"losses: pairs with weights of their own and the loss {next(iter(loss.theirs()))!r} train in one process"
            " only; leave out one of the two, or the other processes"
        )
    reference = fix_reference(ctx, policy)
    clock, began = SecondsBudget(seconds or float("inf")), time.perf_counter()
    trainer = carry_out(
        ctx,
        lambda: PreferenceTrainer(policy.model, rows, args, policy.tokenizer, loss, clock),
        (StepWriter(ctx), clock),
        keep=stage.keep,
        total=steps,
        checkpoint=checkpoint,
        done=checkpoint is not None and is_done(checkpoint, steps, clock),
    )
    gather_weights(trainer, policy)
    policy.path = None
    policy.model.eval()
    last = ctx.store.metrics(ctx.stage).get(trainer.state.global_step, {})
    return Trained(trainer.state.global_step, time.perf_counter() - began, reference, last)


def dpo_arguments(ctx: StageContext, stage: DpoStage, steps: int | None, *, rows: int | None = None) -> Any:
    """The ``DPOConfig`` of a stage. What the recipe does not say is TRL's default, except that activations are kept on
    a CPU, the learning rate is constant where the end is a matter of seconds, and nothing is reported to outside
    services. With fewer ``rows`` than the stage's batch, a step has all of them."""
    given = convert("dpo", stage.trainer)
    batch, per_device = split_batch(stage, given.pop("per_device_train_batch_size", None), rows, ctx.place.count)
    ours: dict[str, Any] = {
        "output_dir": str(ctx.folder),
        "max_steps": steps or UNBOUNDED,
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": batch // per_device,
        "seed": ctx.seed,
        "save_steps": stage.save_every or (max(1, -(-steps // 10)) if steps else 100),
        "beta": stage.beta,
        "loss_type": list(stage.losses),
        "loss_weights": list(stage.losses.values()),
        "label_smoothing": stage.label_smoothing,
        **trl_divergence(stage.divergence, alpha=stage.alpha),
    }
    if steps is None:
        ours["lr_scheduler_type"] = "constant"
    return on_device(ctx.device, "dpo", given, ours)


@dataclass(frozen=True, slots=True)
class LossSpec:
    """What honewise adds to TRL's losses."""

    stage: DpoStage
    ours: bool
    """Whether logistic losses are computed here: TRL's know neither targets, smoothing, margins, clamps nor weights."""

    @classmethod
    def of(cls, stage: DpoStage, rows: Sequence[Mapping[str, Any]]) -> LossSpec:
        """Raises ``UserError`` where rows have weights that one of the losses cannot take."""
        weighted = _weighted(rows)
        sorting = [name for name in stage.losses if name.startswith("aot")]
        if weighted and sorting:
            raise UserError(
                f"losses: {sorting[0]!r} compares the whole batch, so pairs cannot have weights of their own"
            )
        asked = stage.target != "none" or stage.label_smoothing or stage.margin or stage.clamp is not None
        return cls(stage, bool(asked or weighted))

    def theirs(self) -> dict[str, float]:
        """The losses that are left to TRL, with their weights."""
        kept = {name: weight for name, weight in self.stage.losses.items() if not (self.ours and name in LOGISTIC)}
        return kept

    def per_pair(self, log_ratios: tuple[Tensor, Tensor], lengths: tuple[Tensor, Tensor], extra: Any) -> Tensor:
        """(N,): the weighted sum of the logistic losses."""
        stage = self.stage
        won, lost = (
            divergence_score(each, stage.divergence, alpha=stage.alpha, clamp=stage.clamp) for each in log_ratios
        )
        total = torch.zeros_like(won)
        for name, weight in stage.losses.items() if self.ours else ():
            if name == "sigmoid":
                gap = won - lost
            elif name == "sigmoid_norm":
                gap = won / lengths[0] - lost / lengths[1]
            else:
                continue
            z = stage.beta * gap - extra["margin"]
            total = total + weight * pair_loss(z, target=extra["target"], label_smoothing=stage.label_smoothing)
        return total


def _weighted(rows: Sequence[Mapping[str, Any]]) -> bool:
    return any(abs(row["weight"] - 1.0) > 1e-9 for row in rows)


class PreferenceTrainer(ExactCheckpoints, DPOTrainer):
    """TRL's DPO trainer on encoded rows, with honewise's targets, margins, weights, order and checkpoints."""

    def __init__(
        self,
        model: Any,
        rows: Sequence[Mapping[str, Any]],
        args: Any,
        tokenizer: Any,
        loss: LossSpec,
        clock: SecondsBudget | None = None,
    ) -> None:
        self.data_collator: Any
        self.loss = loss
        self.clock = clock or SecondsBudget(float("inf"))
        super().__init__(
            model=model,
            args=args,
            data_collator=PairCollator(pad_token_id=tokenizer.pad_token_id),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokenizer,
        )
        theirs = loss.theirs()
        self.loss_types, self.loss_weights = list(theirs), list(theirs.values())

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:  # noqa: ARG002
        """As it is: rows are encoded as the policy sees prompts when it samples."""
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return EpochOrder(len(dataset), self.args.seed)

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Tensor:  # noqa: ARG002
        """TRL's losses of the pairs that share a weight, times it; to them, what is computed here."""
        extra = {name: inputs.pop(name) for name in EXTRAS}
        weights = extra["weight"]
        count = len(weights)
        values = sorted(set(weights.tolist())) if self.loss_types else [None]
        total = torch.zeros((), device=weights.device)
        for value in values:
            rows = [i for i in range(count) if value is None or weights[i].item() == value]
            part = inputs if len(rows) == count else part_of(inputs, rows)
            with self._recorded(len(rows) if len(rows) < count else None) as seen:
                theirs = super()._compute_loss(model, part, False)
            ours = self._ours(part, {name: each[rows] for name, each in extra.items()}, seen)
            total = total + theirs * ((1.0 if value is None else value) * len(rows) / count) + ours / count
        return total

    def _ours(self, inputs: Mapping[str, Any], extra: Mapping[str, Tensor], seen: Sequence[Tensor]) -> Tensor:
        """Sum over the pairs of a part."""
        stage = self.loss.stage
        if not (self.loss.ours or stage.nll):
            return torch.zeros((), device=extra["weight"].device)
        mask = inputs["completion_mask"]
        policy, reference = (each[:, -(mask.shape[1] - 1) :].sum(1).chunk(2) for each in seen[:2])
        lengths = mask.sum(1).clamp(min=1).chunk(2)
        ratios = policy[0] - reference[0], policy[1] - reference[1]
        losses = self.loss.per_pair(ratios, lengths, extra)
        if stage.nll:
            losses = losses + stage.nll * nll_term(policy[0], lengths[0])
        return (extra["weight"] * losses).sum()

    @contextmanager
    def _recorded(self, rows: int | None) -> Iterator[list[Tensor]]:
        """The log-probabilities that TRL's loss is made of: the policy's, then the reference's. With ``rows``, what TRL
        logs of a part of the batch counts for so many pairs."""
        seen: list[Tensor] = []

        def see(_module: Any, _args: Any, output: Any) -> None:
            if getattr(output, "log_probs", None) is not None:
                seen.append(output.log_probs)

        models = [self.model] if self.ref_model is None else [self.model, self.ref_model]
        hooks = [each.register_forward_hook(see) for each in models]
        mode = "train" if self.model.training else "eval"
        kept = self._metrics[mode]
        if rows is not None:
            self._metrics[mode] = defaultdict(list)
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()
            if rows is not None:
                for name, values in self._metrics[mode].items():
                    kept[name] = values if name == "num_tokens" else [*kept[name], *values * rows]
                self._metrics[mode] = kept

    def exact_state(self) -> dict[str, Any]:
        return {"seconds": self.clock.spent, "tokens": self._total_train_tokens}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        self.clock.restore(state["seconds"])
        self._total_train_tokens = state["tokens"]
