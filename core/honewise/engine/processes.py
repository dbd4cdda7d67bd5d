"""Several processes that do one run: they begin together, wait for each other, and agree. Alone, all of it is free."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object

from honewise.runs.processes import Place

__all__ = ["agree", "gather", "join", "share", "wait"]

PATIENCE = timedelta(hours=2)
"""A process that hears nothing of the others for so long gives up. Long: one may be scoring while all others wait."""

T = TypeVar("T")


def join(place: Place, device: str) -> None:
    """Meet the others, if there are any; before anything that needs them."""
    if place.count > 1:
        AcceleratorState._reset_state(
            reset_partial_state=True
        )  # a configuration that was looked at may have been alone
        PartialState(cpu=device == "cpu", timeout=PATIENCE)


def wait() -> None:
    """Until all have come here."""
    if _several():
        PartialState().wait_for_everyone()


def share(value: T) -> T:
    """The first process's ``value``, on all of them."""
    if not _several():
        return value
    found: T = broadcast_object_list([value])[0]
    return found


def gather(values: Sequence[T]) -> list[T]:
    """The values of all processes, in their order."""
    found: list[T] = gather_object(list(values)) if _several() else list(values)
    return found


def agree(flag: bool) -> bool:
    """Whether any of them says yes."""
    return any(gather([flag])) if _several() else flag


def _several() -> bool:
    distributed: Any = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)
