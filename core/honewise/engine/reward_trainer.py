"""TRL's reward trainer with honewise's losses, segments, order and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from trl import RewardTrainer

from honewise.algorithms import bradley_terry_loss, centre_penalty, cost_loss, cost_sign
from honewise.recipes.preference import RewardModelStage

from .checkpoints import ExactCheckpoints
from .pairs import EXTRAS, PairCollator
from .reward_scoring import aggregate_ends, recorded_values
from .sft import EpochOrder

__all__ = ["Judged", "RewardCollator", "RewardLoss", "RewardModelTrainer", "judge"]

_TOLD = (*EXTRAS, "ends", "safe")
"""What stands in a batch and is not for the model."""


@dataclass
class RewardCollator(PairCollator):
    """``PairCollator`` with the tokens that are scored (2N, T) and which completions are safe (2N,)."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = super().torch_call(examples)
        del batch["completion_mask"]
        ends = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
        for row, places in enumerate([example[f"{side}_ends"] for side in _SIDES for example in examples]):
            ends[row, places] = True
        batch["ends"] = ends
        batch["safe"] = torch.tensor([example[f"{side}_safe"] for side in _SIDES for example in examples])
        return batch


_SIDES = ("chosen", "rejected")


@dataclass(frozen=True, slots=True)
class RewardLoss:
    """The loss of a stage, on a batch of scores."""

    stage: RewardModelStage

    @property
    def sign(self) -> float:
        """1 where the chosen one has the higher score, -1 for costs."""
        return -1.0 if self.stage.loss == "cost" else 1.0

    def scores(self, model: Any, inputs: Mapping[str, Any], ends: Tensor) -> tuple[Tensor, Tensor]:
        """(N,) of the chosen and (N,) of the rejected ones, float32."""
        base = model.module if hasattr(model, "module") else model
        with recorded_values(base) as seen:
            model(**inputs, use_cache=False)
        how = "mean" if self.stage.segments is None else self.stage.segments.aggregate
        chosen, rejected = aggregate_ends(seen[0].float(), ends, how).chunk(2)
        return chosen, rejected

    def per_pair(self, chosen: Tensor, rejected: Tensor, told: Mapping[str, Tensor]) -> Tensor:
        """(N,), before weights."""
        stage = self.stage
        if stage.loss == "cost":
            safer, unsafer = (cost_sign(each).to(chosen) for each in told["safe"].chunk(2))
            losses = cost_loss(rejected, chosen, unsafer, safer)
        else:
            losses = bradley_terry_loss(
                chosen, rejected, margin=told["margin"], target=told["target"], label_smoothing=stage.label_smoothing
            )
        return losses + stage.centre * centre_penalty(chosen, rejected) if stage.centre else losses


class RewardModelTrainer(ExactCheckpoints, RewardTrainer):
    """A sequence classifier trained on encoded pairs."""

    def __init__(
        self, model: Any, rows: Sequence[Mapping[str, Any]], args: Any, tokenizer: Any, loss: RewardLoss
    ) -> None:
        self.loss = loss
        super().__init__(
            model=model,
            args=args,
            data_collator=RewardCollator(pad_token_id=tokenizer.pad_token_id),
            train_dataset=Dataset.from_list(list(rows)),
            processing_class=tokenizer,
        )

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:  # noqa: ARG002
        """As it is: rows are encoded as policies see prompts."""
        return dataset

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        return EpochOrder(len(dataset), self.args.seed)

    def compute_loss(
        self,
        model: Any,
        inputs: Any,
        return_outputs: bool = False,  # noqa: ARG002 - the signature is TRL's
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Tensor:
        told = {name: inputs.pop(name) for name in _TOLD}
        chosen, rejected = self.loss.scores(model, inputs, told["ends"])
        loss = (told["weight"] * self.loss.per_pair(chosen, rejected, told)).mean()
        self._note(inputs, chosen.detach(), rejected.detach(), told)
        return loss

    def _note(self, inputs: Mapping[str, Any], chosen: Tensor, rejected: Tensor, told: Mapping[str, Tensor]) -> None:
        """The numbers that TRL logs, and how often a cost's sign is right."""
        metrics = self._metrics["train"]
        self._total_train_tokens += int(self.accelerator.gather(inputs["attention_mask"].sum()).sum().item())
        metrics["num_tokens"] = [self._total_train_tokens]
        chosen, rejected = self._everyones(torch.cat([chosen, rejected])).chunk(2)
        both, gap = torch.cat([chosen, rejected]), self.loss.sign * (chosen - rejected)
        numbers = {
            "accuracy": (gap > 0).float().mean(),
            "margin": gap.mean(),
            "min_reward": both.min(),
            "mean_reward": both.mean(),
            "max_reward": both.max(),
        }
        if self.loss.stage.loss == "cost":
            numbers["safe_accuracy"] = ((both < 0) == self._everyones(told["safe"].float()).bool()).float().mean()
        for name, value in numbers.items():
            metrics[name].append(value.item())

    def _everyones(self, both: Tensor) -> Tensor:
        """(2N,) of each process to those of all, chosen ones first."""
        gathered: Tensor = self.accelerator.gather(torch.stack(both.chunk(2), 1))
        return gathered.T.flatten()

    def exact_state(self) -> dict[str, Any]:
        return {"tokens": self._total_train_tokens}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        self._total_train_tokens = state["tokens"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model makes of pairs."""

    scores: list[float]
    """Of the chosen ones, then of the rejected ones."""
    loss: float
    accuracy: float
    """Share of pairs that it orders as they are; a tie counts half."""
    safe_accuracy: float | None


@torch.no_grad()
def judge(model: Any, rows: Sequence[Mapping[str, Any]], loss: RewardLoss, pad: int, *, at_once: int = 16) -> Judged:
    """Score pairs with a model as it is, in evaluation mode; at least one."""
    model.eval()
    collate = RewardCollator(pad_token_id=pad)
    scores: tuple[list[float], list[float]] = ([], [])
    losses: list[float] = []
    right, safe = 0.0, []
    for start in range(0, len(rows), at_once):
        batch = {name: value.to(model.device) for name, value in collate(list(rows[start : start + at_once])).items()}
        told = {name: batch.pop(name) for name in _TOLD}
        chosen, rejected = loss.scores(model, batch, told["ends"])
        losses += loss.per_pair(chosen, rejected, told).tolist()
        gap = loss.sign * (chosen - rejected)
        right += (gap > 0).sum().item() + 0.5 * (gap == 0).sum().item()
        safe += ((torch.cat([chosen, rejected]) < 0) == told["safe"]).tolist()
        scores[0].extend(chosen.tolist())
        scores[1].extend(rejected.tolist())
    return Judged(
        scores=scores[0] + scores[1],
        loss=math.fsum(losses) / len(losses),
        accuracy=right / len(rows),
        safe_accuracy=sum(safe) / len(safe) if loss.stage.loss == "cost" else None,
    )
