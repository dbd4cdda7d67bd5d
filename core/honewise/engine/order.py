"""In which order tasks are sampled and completions trained on: from seeds alone, and never through a shared prompt."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import RepeatSampler, split_tensor_dict

from honewise.models.sampling import derive_seed

__all__ = ["Drawing", "EpochSampler", "TaskQueue", "cut", "unit_of"]


_SLACK = 1e-9
"""Shares are rounded: 10 times 0.3 is 3, and no more."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """Which tasks a step may meet, and how often each: a curriculum, and a mixture.

    Step n, counted in batches that are sampled, draws its tasks at random from the easiest ones: of all tasks the share
    ``start`` at first, then more with each step, and all of them from step ``until`` on. No task is drawn twice in a
    step; with ``weights``, tasks are drawn in proportion to them.

    With ``parts``, such as domains, each has its share of every step: the whole numbers next to ``number`` times its
    ``shares``, which they are on average. Within a part tasks are drawn as above, its own easiest ones first.
    """

    hardness: Sequence[float] | None = None
    """For each task; None: all are alike."""
    start: float = 1.0
    until: int = 0
    weights: Sequence[float] | None = None
    """For each task, above 0; None: all are alike."""
    parts: Sequence[int] | None = None
    """For each task, the part that it is of; None: there is but one."""
    shares: Sequence[float] = ()
    """For each part, above 0; they sum to 1."""

    def draw(self, step: int, number: int, count: int, seed: int) -> list[int]:
        """``number`` of ``count`` tasks for the step ``step``, from 0."""
        generator = torch.Generator().manual_seed(derive_seed(seed, "draw", step))
        if self.parts is None:
            return self._drawn(self._met(0, step, number, count), number, generator)
        found = [
            task
            for part, wanted in enumerate(self._numbers(number, generator))
            for task in self._drawn(self._met(part, step, wanted, count), wanted, generator)
        ]
        # Processes and minibatches are given stretches of a step, which should hold every part.
        return [found[place] for place in torch.randperm(number, generator=generator)]

    def more(
        self, part: int, step: int, number: int, least: int, count: int, but: Collection[int], seed: int
    ) -> list[int]:
        """Up to ``number`` further tasks of a part that a step with ``least`` of them may meet, none among ``but``."""
        left = [task for task in self._met(part, step, least, count).tolist() if task not in but]
        generator = torch.Generator().manual_seed(seed)
        return self._drawn(torch.tensor(left), min(number, len(left)), generator)

    def most(self, number: int) -> list[int]:
        """For each part, how many of ``number`` tasks it may have at most."""
        return [math.ceil(number * share - _SLACK) for share in self.shares]

    def _numbers(self, number: int, generator: torch.Generator) -> list[int]:
        """How many tasks each part has: places of a comb with a random start, so that each share holds on average."""
        start = float(torch.rand((), generator=generator, dtype=torch.float64))
        ends = [number * sum(self.shares[:part]) for part in range(1, len(self.shares))]
        teeth = [0, *(max(0, math.ceil(end - start - _SLACK)) for end in ends), number]
        return [after - before for before, after in itertools.pairwise(teeth)]

    def _met(self, part: int, step: int, number: int, count: int) -> Tensor:
        """The tasks of a part that the step may meet, ``number`` at the least."""
        pool = torch.arange(count) if self.parts is None else (torch.tensor(self.parts) == part).nonzero().flatten()
        if self.hardness is None or step >= self.until:
            return pool
        share = self.start + (1 - self.start) * step / self.until
        size = min(len(pool), max(number, math.ceil(share * len(pool))))
        return pool[torch.argsort(torch.tensor(self.hardness, dtype=torch.float64)[pool], stable=True)[:size]]

    def _drawn(self, pool: Tensor, number: int, generator: torch.Generator) -> list[int]:
        """``number`` tasks of ``pool``."""
        if not number:
            return []
        weights = torch.ones(len(pool))
        if self.weights is not None:
            weights = torch.tensor(self.weights, dtype=torch.float64)[pool]
        found: list[int] = pool[torch.multinomial(weights, number, generator=generator)].tolist()
        return found


class TaskQueue:
    """Tasks that are tried where a step is short of groups: epochs in orders drawn from a seed, with a cursor.

    With a ``drawing``, those that the step may meet, drawn as the step's own are.
    """

    def __init__(self, count: int, *seed: int | str, drawing: Drawing | None = None) -> None:
        self.count, self.seed, self.drawing = count, seed, drawing
        self.drawn = 0

    def draw(self, number: int, but: Collection[int], *, step: int = 0, part: int = 0, least: int = 0) -> list[int]:
        """The next tasks that are not among ``but``, each once; fewer where there are no others. ``step``, from 0, the
        ``part`` and how many tasks the step has of it (``least``) are for ``drawing``."""
        if self.drawing is not None:
            seed = derive_seed(*self.seed, "more", self.drawn)
            self.drawn += number
            return self.drawing.more(part, step, number, least, self.count, but, seed)
        found: list[int] = []
        for _ in range(2 * self.count):
            if len(found) == number:
                break
            epoch, place = divmod(self.drawn, self.count)
            generator = torch.Generator().manual_seed(derive_seed(*self.seed, epoch))
            task = int(torch.randperm(self.count, generator=generator)[place])
            self.drawn += 1
            if task not in but and task not in found:
                found.append(task)
        return found


class EpochSampler(RepeatSampler):
    """TRL's sampler, in which the order of an epoch follows from the seed and the epoch alone, whatever came before.

    The first epoch is that of TRL. With a ``drawing``, tasks are drawn for each step by itself.
    """

    epoch = 0
    drawing: Drawing | None = None

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed if self.epoch == 0 else derive_seed(self.seed, "epoch", self.epoch))
        return super().__iter__() if self.drawing is None else self._drawn(self.drawing)

    def _drawn(self, drawing: Drawing) -> Iterator[int]:
        steps = self.num_samples // self.batch_size
        for step in range(self.epoch * steps, (self.epoch + 1) * steps):
            tasks = drawing.draw(step, self.batch_size, self.num_samples, self.seed or 0)
            for _ in range(self.repeat_count):
                for task in tasks:
                    yield from itertools.repeat(task, self.mini_repeat_count)


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
