"""Controllers of the KL coefficient. They are plain numbers: nothing here needs a tensor but measuring the KL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from honewise.errors import UserError, near

__all__ = ["AdaptiveKL", "FixedKL", "KlController", "KlUnit", "measure_kl"]

KlUnit = Literal["token", "sequence"]
_UNITS = ("token", "sequence")


def measure_kl(kl: Tensor, mask: Tensor, unit: KlUnit) -> float:
    """Mean KL in nats: per ``token``, or per ``sequence`` (the sum over a completion's tokens), of (B, T) estimates.

    The two differ by the length of the completions, and so does a target given in one and measured in the other.
    """
    own = mask.bool()
    total = torch.where(own, kl, 0.0).sum()
    rows = own.any(-1).sum() if _unit(unit) == "sequence" else own.sum()
    return float(total / rows.clamp(min=1))


class KlController(Protocol):
    """What a KL coefficient comes from."""

    @property
    def coefficient(self) -> float: ...
    def update(self, kl: float, *, unit: KlUnit, samples: int) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


class FixedKL:
    """The same coefficient always."""

    def __init__(self, coefficient: float) -> None:
        self._coefficient = _not_negative("coefficient", coefficient)

    @property
    def coefficient(self) -> float:
        return self._coefficient

    def update(self, kl: float, *, unit: KlUnit, samples: int) -> None:  # noqa: ARG002 - that of every controller
        return None

    def state(self) -> dict[str, Any]:
        return {"kind": "fixed"}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The recipe's coefficient stands; the state must be that of a fixed one."""
        _same("kind", "fixed", state)


class AdaptiveKL:
    """A coefficient that keeps the KL near a target: Ziegler et al. (1909.08593), section 2.2.

    After each step, with n the completions of the step::

        coefficient <- coefficient (1 + clip(KL / target - 1, -0.2, 0.2) n / horizon)

    ``target`` is in nats per ``unit``, which has no default: 6 per sequence is mild, 6 per token is never reached.
    """

    def __init__(self, coefficient: float, *, target: float, unit: KlUnit, horizon: int = 10_000) -> None:
        self._coefficient = _not_negative("coefficient", coefficient)
        if not (target > 0 and math.isfinite(target)) or horizon < 1:
            raise UserError(f"adaptive KL: target and horizon must be above 0; given {target} and {horizon}")
        self.target, self.horizon = float(target), horizon
        self.unit = _unit(unit)

    @property
    def coefficient(self) -> float:
        return self._coefficient

    def update(self, kl: float, *, unit: KlUnit, samples: int) -> None:
        """Take in the KL of one step of ``samples`` completions, measured in ``unit``, over all processes.

        Raises ``ValueError`` for another unit than the target's, and for a KL that is no number.
        """
        if unit != self.unit:
            raise ValueError(f"the target is per {self.unit}, and this KL per {unit}")
        if not math.isfinite(kl):
            raise ValueError(f"the KL is {kl}")
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self._coefficient *= max(1 + error * samples / self.horizon, 0.0)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"kind": "adaptive", "unit": self.unit, "coefficient": self._coefficient}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state()``. Raises ``UserError`` where it belongs to another controller or unit."""
        _same("kind", "adaptive", state)
        _same("unit", self.unit, state)
        self._coefficient = _not_negative("coefficient", float(state["coefficient"]))


def _unit(unit: str) -> Any:
    if unit not in _UNITS:
        raise UserError(f"KL unit {unit!r}{near(str(unit), _UNITS)}")
    return unit


def _not_negative(name: str, value: float) -> float:
    if not (value >= 0 and math.isfinite(value)):
        raise UserError(f"KL: {name} must be a number not below 0, not {value}")
    return float(value)


def _same(name: str, wanted: str, state: Mapping[str, Any]) -> None:
    if state.get(name) != wanted:
        raise UserError(f"KL controller: saved with {name} {state.get(name)!r}, and now it is {wanted!r}")
