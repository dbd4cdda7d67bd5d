"""Several processes that do one run: they begin together, wait for each other, and agree. Alone, all of it is free."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import broadcast_object_list, gather_object

from honewise.clients.ledger import CallRecord
from honewise.errors import HonewiseError
from honewise.runs.processes import Place

__all__ = ["EndedElsewhere", "agree", "everyones_calls", "gather", "join", "share", "together", "wait"]

PATIENCE = timedelta(hours=2)
"""A process that hears nothing of the others for so long gives up. Long: one may be scoring while all others wait."""

_SHOWN = 300
"""Characters of a foreign error's message that the other processes tell."""

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


def together(work: Callable[[], T]) -> T:
    """What ``work`` gives here. An error that it raises on one of them ends all of them, so that none waits for that
    one in vain.

    Where it came up it is raised as it is, with its traceback. Elsewhere it is raised anew where it is one of ours or
    a Ctrl-C, so that everybody stops alike, and else as an ``EndedElsewhere``. Each of them must call this.
    """
    if not _several():
        return work()
    found: list[T] = []
    mine: BaseException | None = None
    try:
        found.append(work())
    except BaseException as error:
        mine = error
    errors = gather([None if mine is None else _told(mine)])
    if mine is not None:
        raise mine
    for each in errors:
        if each is not None:
            raise each
    return found[0]


class EndedElsewhere(HonewiseError):
    """Another of the processes met an error that is not ours, and all of them end."""


def _told(error: BaseException) -> BaseException:
    """An error as the other processes are told of it: what can be sent and means the same there."""
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt()
    for kind in type(error).__mro__:
        if kind.__module__ == HonewiseError.__module__:
            with contextlib.suppress(TypeError):  # made of more than its message: the kind above it will do
                copy: BaseException = kind(str(error))
                return copy
    said = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN]
    state = PartialState()
    return EndedElsewhere(f"process {state.process_index + 1} of {state.num_processes} failed: {said}")


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
