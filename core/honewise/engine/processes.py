"""Several processes that do one run: they begin together, wait for each other, and agree. Alone, all of it is free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object

from honewise.clients.ledger import CallRecord
from honewise.errors import BudgetExceeded
from honewise.runs.processes import Place

__all__ = ["agree", "everyones_calls", "gather", "join", "share", "together", "wait"]

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


def together(check: Callable[[], None]) -> None:
    """Raise on all of them the ``BudgetExceeded`` that ``check`` raises on one, so that none waits for it in vain."""
    found: BudgetExceeded | None = None
    try:
        check()
    except BudgetExceeded as error:
        found = error
    for each in gather([found]):
        if each is not None:
            raise each


class Asked(Protocol):
    """What has asked a judge: ``honewise.scoring.Scorer``."""

    def take_calls(self) -> list[CallRecord]: ...
    def charge(self, calls: Sequence[CallRecord]) -> None: ...


def everyones_calls(scorer: Asked) -> list[CallRecord]:
    """What the judges of all processes were asked since the last time, in the order of the processes. What the others
    spent counts for the budget of this one's judge as well."""
    mine = scorer.take_calls()
    if not _several():
        return mine
    rank = PartialState().process_index
    parts = gather([mine])
    for other, calls in enumerate(parts):
        if other != rank:
            scorer.charge(calls)
    return [call for calls in parts for call in calls]


def _several() -> bool:
    distributed: Any = torch.distributed
    return bool(distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1)
