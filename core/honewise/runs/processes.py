"""Which of several processes this one is, where a launcher has started the same command several times."""

from __future__ import annotations

import os
from dataclasses import dataclass

from honewise.errors import UserError

__all__ = ["Place", "place"]


@dataclass(frozen=True, slots=True)
class Place:
    """One of ``count`` processes that do one run together. The first writes; the others keep silent."""

    rank: int = 0
    count: int = 1
    here: int = 1
    """How many of them are on this machine."""
    sharding: str = ""
    """``FSDP`` or ``DeepSpeed``, where that wraps the model; else nothing, and every process holds all of it."""

    @property
    def first(self) -> bool:
        return self.rank == 0


def place() -> Place:
    """As ``accelerate launch`` and ``torchrun`` say it in RANK, WORLD_SIZE and LOCAL_WORLD_SIZE, and the former in
    ACCELERATE_USE_FSDP and ACCELERATE_USE_DEEPSPEED."""
    found = [os.environ.get(name) or default for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))]
    try:
        rank, count = (int(value) for value in found)
        here = int(os.environ.get("LOCAL_WORLD_SIZE") or count)
    except ValueError:
        raise UserError(f"RANK and WORLD_SIZE must be whole numbers; given: {found[0]!r} and {found[1]!r}") from None
    if not 0 <= rank < count:
        raise UserError(f"RANK {rank} is none of the {count} processes of WORLD_SIZE")
    return Place(rank, count, here, _sharding())


def _sharding() -> str:
    names = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_FSDP": "FSDP"}
    return next((what for name, what in names.items() if os.environ.get(name, "").lower() in ("1", "true")), "")
