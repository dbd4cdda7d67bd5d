"""What core brings along, registered through the hooks as a third party's would be.

The toy domain ``arithmetic``, the rewards that fit any domain and the advantage estimators. Core's own names
are bare (``length``); those of any other distribution are ``entry-point/name``.
"""

from __future__ import annotations

from collections.abc import Callable

from honewise import hookimpl


@hookimpl
def register_domains(register: Callable[..., None]) -> None:
    from .arithmetic import arithmetic

    register("arithmetic", arithmetic)


@hookimpl
def register_rewards(register: Callable[..., None]) -> None:
    from honewise.judges import judged
    from honewise.rewards import length, repetition, script

    for general in (length, repetition, script, judged):
        register(general)


@hookimpl
def register_estimators(register: Callable[..., None]) -> None:
    from .estimators import ATTRIBUTES, DeferredEstimator

    for name, attribute in ATTRIBUTES.items():
        register(DeferredEstimator(name, attribute))
