"""Rollouts for tests of estimators: by hand, or random with everything an estimator may need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from honewise.algorithms import Rollouts

PER_TOKEN = ("old_logps", "ref_logps", "entropies", "values")


def rollouts(
    rewards: list[list[list[float]]] | Tensor,
    lengths: list[int],
    *,
    group: list[int] | None = None,
    scored: list[list[bool]] | None = None,
    **fields: Any,
) -> Rollouts:
    """Components x rows x tokens; rows of the given lengths, in one group unless told."""
    tensor = torch.as_tensor(rewards, dtype=torch.float64)
    components, rows, tokens = tensor.shape
    mask = torch.arange(tokens) < torch.tensor(lengths)[:, None]
    known = torch.ones(components, rows, dtype=torch.bool) if scored is None else torch.tensor(scored)
    groups = torch.zeros(rows, dtype=torch.long) if group is None else torch.tensor(group)
    given = {
        name: value if isinstance(value, Tensor | int) else torch.tensor(value, dtype=_dtype(name))
        for name, value in fields.items()
    }
    return Rollouts(tensor, known, mask, groups, **given)


def _dtype(name: str) -> torch.dtype:
    return torch.long if name in ("correct", "domain") else torch.bool if name == "steps" else torch.float64


def random_rollouts(
    seed: int, *, components: int = 2, samples: int = 4, groups: int = 3, missing: bool = True
) -> Rollouts:
    generator = torch.Generator().manual_seed(seed)
    rows, tokens = samples * groups, 7
    lengths = torch.randint(1, tokens + 1, (rows,), generator=generator)
    mask = torch.arange(tokens) < lengths[:, None]
    rewards = torch.randn(components, rows, tokens, dtype=torch.float64, generator=generator) * mask
    scored = torch.rand(components, rows, generator=generator) > (0.2 if missing else -1.0)
    return Rollouts(rewards * scored[..., None], scored, mask, torch.arange(groups).repeat_interleave(samples))


def full_rollouts(seed: int, **options: Any) -> Rollouts:
    """``random_rollouts`` with every optional field, two domains, and groups of each kind of correctness."""
    batch = random_rollouts(seed, **options)
    generator = torch.Generator().manual_seed(seed + 1)
    components, rows, tokens = batch.rewards.shape
    numbers = {name: torch.randn(rows, tokens, dtype=torch.float64, generator=generator) for name in PER_TOKEN}
    numbers["entropies"] = numbers["entropies"].abs()
    number = batch.group.max() + 1
    greedy = torch.randn(components, int(number), dtype=torch.float64, generator=generator)
    correct = torch.randint(0, 2, (rows,), generator=generator)
    correct = torch.where(batch.group == 0, 1, torch.where(batch.group == 1, 0, correct))
    return replace(
        batch,
        **numbers,
        greedy=greedy[:, batch.group],
        correct=correct,
        weights=torch.tensor([2.0, -0.5, 1.0][:components], dtype=torch.float64),
        domain=batch.group % 2,
    )


def rows_of(batch: Rollouts, rows: Tensor) -> Rollouts:
    """The rows that an index or a mask picks, in its order."""
    picked: dict[str, Any] = {}
    for name in ("mask", "group", *PER_TOKEN, "correct", "domain"):
        value = getattr(batch, name)
        picked[name] = None if value is None else value[rows]
    for name in ("rewards", "scored", "greedy", "steps"):
        value = getattr(batch, name)
        picked[name] = None if value is None else value[:, rows]
    return replace(batch, **picked)


def with_holes(batch: Rollouts, seed: int, garbage: float) -> tuple[Rollouts, Tensor]:
    """The same tokens with ``garbage`` padding and tool text between them, and where each now stands: (B, T)."""
    rows, tokens = batch.mask.shape
    wide = tokens + 3
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(rows, wide, generator=generator).argsort(-1)[:, :tokens].sort(-1).values
    mask = torch.zeros(rows, wide, dtype=torch.bool).scatter(-1, keep, batch.mask)

    def spread(value: Tensor) -> Tensor:
        full = torch.full((*value.shape[:-1], wide), garbage, dtype=value.dtype)
        return torch.where(mask, full.scatter(-1, keep.expand_as(value), value), garbage)

    moved = {name: spread(getattr(batch, name)) for name in PER_TOKEN if getattr(batch, name) is not None}
    return replace(batch, rewards=spread(batch.rewards), mask=mask, **moved), keep
