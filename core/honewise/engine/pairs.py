"""Pairs as trainers take them: encoded, with their targets, margins and weights, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase
from trl.trainer.dpo_trainer import DataCollatorForPreference

from honewise.algorithms import bt_margin_target
from honewise.errors import UserError
from honewise.models.policy import quiet
from honewise.models.text import encode
from honewise.progress import Progress
from honewise.recipes.preference import PairLoss
from honewise.scoring.pairs import Pair

__all__ = ["EXTRAS", "PairCollator", "encode_pairs", "part_of", "split_batch", "steps_of"]

EXTRAS = ("target", "margin", "weight")
"""What stands in a batch beside ids and masks, one number for each pair."""


def encode_pairs(
    pairs: Sequence[Pair], stage: PairLoss, tokenizer: PreTrainedTokenizerBase, limit: int | None, progress: Progress
) -> list[dict[str, Any]]:
    """One row a pair: ``prompt_ids, chosen_ids, rejected_ids``, ``EXTRAS``, and its place in ``pairs`` as ``index``.

    Weights are divided by their mean, so that they shift the balance and not the size of a step; pairs of weight 0 and
    those of more than ``limit`` tokens are left out, which is said. Raises ``UserError`` where nothing is left, and
    where a pair lacks what the stage's target or margin is made of.
    """
    if not pairs:
        raise UserError("there is no pair to learn from")
    targets, margins = _targets(pairs, stage), _margins(pairs, stage)
    rows, longer, weightless = [], 0, 0
    with quiet():
        for index, (pair, target, margin) in enumerate(zip(pairs, targets, margins, strict=True)):
            row = _encode(pair, tokenizer)
            length = len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            if limit is not None and length > limit:
                longer += 1
            elif pair.weight == 0:
                weightless += 1
            else:
                rows.append({**row, "target": target, "margin": margin, "weight": pair.weight, "index": index})
    if not rows:
        raise UserError(
            f"there is no pair to learn from: {longer} of {len(pairs)} are longer than {limit} tokens,"
            f" {weightless} have a weight of 0"
        )
    if longer:
        progress.note(f"{longer} of {len(pairs)} pairs are longer than {limit} tokens and left out")
    mean = math.fsum(row["weight"] for row in rows) / len(rows)
    return [{**row, "weight": row["weight"] / mean} for row in rows]


def steps_of(stage: PairLoss, rows: int, *, endless: bool = False) -> int | None:
    """Optimizer steps of a stage on so many pairs; None where only seconds end it (``endless``)."""
    if stage.steps is not None:
        return stage.steps
    if endless and stage.epochs is None:
        return None
    return max(1, math.ceil((stage.epochs or 1.0) * math.ceil(rows / stage.batch)))


def split_batch(
    stage: PairLoss, per_device: int | None, rows: int | None = None, processes: int = 1
) -> tuple[int, int]:
    """Pairs of a process in a step and in one pass over the model; with fewer ``rows`` than the stage's batch, a step
    has all.

    Raises ``UserError`` where one does not divide the other.
    """
    each, left = divmod(stage.batch, processes)
    if left:
        raise UserError(f"batch: {processes} processes do not divide the batch of {stage.batch} pairs")
    wanted = per_device or each
    if each % wanted:
        over = f" in {processes} processes" if processes > 1 else ""
        raise UserError(f"per_device_train_batch_size: {wanted} does not divide the batch of {stage.batch} pairs{over}")
    if rows is None or rows >= stage.batch:
        return each, wanted
    each = math.ceil(rows / processes)
    return each, max(size for size in range(1, min(wanted, each) + 1) if each % size == 0)


def _encode(pair: Pair, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    prompt, chosen = encode(tokenizer, pair.prompt, pair.chosen, ended=not pair.truncated[0])
    _, rejected = encode(tokenizer, pair.prompt, pair.rejected, ended=not pair.truncated[1])
    return {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}


def _targets(pairs: Sequence[Pair], stage: PairLoss) -> list[float]:
    if stage.target == "none":
        ties = sum(pair.prob == 0.5 for pair in pairs)
        if ties:
            raise UserError(f"{ties} of {len(pairs)} pairs are ties, of which neither is better; set `target`")
        return [1.0] * len(pairs)
    if stage.target == "prob":
        _all_there([pair.prob for pair in pairs], pairs, "target: prob", "prob")
        return [float(pair.prob or 0.0) for pair in pairs]
    _all_there([pair.margin for pair in pairs], pairs, "target: bt_margin", "margin")
    margins = torch.tensor([pair.margin for pair in pairs], dtype=torch.float64)
    return bt_margin_target(margins, torch.zeros_like(margins), float(stage.gamma or 0.0)).tolist()


def _margins(pairs: Sequence[Pair], stage: PairLoss) -> list[float]:
    if not stage.margin:
        return [0.0] * len(pairs)
    _all_there([pair.margin for pair in pairs], pairs, "margin", "margin")
    return [stage.margin * float(pair.margin or 0.0) for pair in pairs]


def _all_there(values: Sequence[float | None], pairs: Sequence[Pair], key: str, what: str) -> None:
    lacking = [pair for pair, value in zip(pairs, values, strict=True) if value is None]
    if lacking:
        sources = ", ".join(sorted({pair.source for pair in lacking}))
        raise UserError(f"{key} needs the {what} of every pair; {len(lacking)} of {len(pairs)} have none ({sources})")


@dataclass
class PairCollator(DataCollatorForPreference):
    """TRL's collator, which drops every column that it does not know, with ``EXTRAS`` beside its own."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super().torch_call(examples)
        for name in EXTRAS:
            batch[name] = torch.tensor([float(example[name]) for example in examples])
        return batch


def part_of(batch: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Some pairs of a collated batch, whose first half are chosen and whose second half rejected ones."""
    half = len(batch["input_ids"]) // 2
    both = [*rows, *(half + row for row in rows)]
    return {name: value[both if len(value) == 2 * half else list(rows)] for name, value in batch.items()}
