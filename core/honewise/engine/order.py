"""In which order tasks are sampled and completions trained on: from seeds alone, and never through a shared prompt."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from trl.trainer.utils import RepeatSampler, split_tensor_dict

from honewise.models.sampling import derive_seed

__all__ = ["EpochSampler", "cut", "unit_of"]


class EpochSampler(RepeatSampler):
    """TRL's sampler, in which the order of an epoch follows from the seed and the epoch alone, whatever came before.

    The first epoch is that of TRL.
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed if self.epoch == 0 else derive_seed(self.seed, "epoch", self.epoch))
        return super().__iter__()


def unit_of(rows: int, parts: int, samples: int) -> int:
    """How many completions of one prompt stay together when ``rows``, groups of ``samples``, are cut into ``parts``."""
    return math.gcd(rows // parts, samples)


def cut(batch: Mapping[str, Any], parts: int, samples: int, seed: int) -> list[dict[str, Any]]:
    """A generation in ``parts`` equal parts, in an order drawn from ``seed``; completions of one prompt stay together
    as far as the parts' size allows, so that they can share its computation."""
    rows = len(batch["completion_ids"])
    unit = unit_of(rows, parts, samples)
    units = torch.randperm(rows // unit, generator=torch.Generator().manual_seed(seed))
    order = (units.unsqueeze(1) * unit + torch.arange(unit)).flatten()
    mixed = {
        name: value[order.to(value.device)] if torch.is_tensor(value) and value.dim() else value
        for name, value in batch.items()
    }
    found: list[dict[str, Any]] = split_tensor_dict(mixed, parts)
    return found
