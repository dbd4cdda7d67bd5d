"""Gates: conditions on other rewards, their order, and what can be computed together."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from honewise.errors import UserError, near

__all__ = ["Gate", "Kind", "Phase", "gates_of", "order", "phases"]

_GATE = re.compile(r"\s*(?P<other>[^\s<>=!]+)\s*(?P<sign><=|>=|==|!=|<|>)\s*(?P<limit>[-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    ">": operator.gt,
}

_SLACK = 1e-9

Kind = Literal["pool", "local", "loop"]
"""Where a reward is computed: in a worker process, in this process, or on the event loop. Cheap before dear."""

_CHEAP_FIRST: tuple[Kind, ...] = ("pool", "local", "loop")


@dataclass(frozen=True, slots=True)
class Gate:
    """``other sign limit`` on the raw value of the reward ``other``."""

    other: str
    sign: str
    limit: float

    @classmethod
    def of(cls, name: str, text: str) -> Gate:
        """Read the gate of the reward ``name``. Raises ``UserError`` on any other form."""
        match = _GATE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            return cls(match["other"], match["sign"], float(match["limit"]))
        except ValueError:
            raise UserError(
                f"gate of reward {name!r}: {text!r} cannot be read; write it as 'other >= 1'"
                f" with one of {', '.join(_SIGNS)} and a number"
            ) from None

    def open(self, value: float) -> bool:
        """Whether the gate lets a raw value of ``other`` through; a sum of spans may miss the limit by rounding."""
        return _SIGNS[self.sign](self.limit if abs(value - self.limit) <= _SLACK else value, self.limit)

    def __str__(self) -> str:
        return f"{self.other} {self.sign} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Phase:
    """Rewards that can be computed in one go, in this order."""

    kind: Kind
    names: tuple[str, ...]


def gates_of(whens: Mapping[str, str | None]) -> dict[str, Gate]:
    """The gates of a rubric's rewards. Raises ``UserError`` where one is on a reward the rubric does not have."""
    gates = {name: Gate.of(name, text) for name, text in whens.items() if text is not None}
    for name, gate in gates.items():
        if gate.other not in whens:
            raise UserError(
                f"reward {name!r} is gated on {gate.other!r}, which is not in the rubric"
                f"{near(gate.other, [each for each in whens if each != name])}"
            )
    return gates


def order(names: Iterable[str], gates: Mapping[str, Gate]) -> list[str]:
    """The names with each gate's reward before what it gates; else as given. Raises ``UserError`` on a cycle."""
    done: dict[str, None] = {}
    for name in names:
        _visit(name, gates, done, ())
    return list(done)


def _visit(name: str, gates: Mapping[str, Gate], done: dict[str, None], path: tuple[str, ...]) -> None:
    if name in done:
        return
    if name in path:
        circle = " -> ".join((*path[path.index(name) :], name))
        raise UserError(f"gates form a circle: {circle}; one of these rewards must go without a gate")
    if name in gates:
        _visit(gates[name].other, gates, done, (*path, name))
    done[name] = None


def phases(ordered: Iterable[str], gates: Mapping[str, Gate], kinds: Mapping[str, Kind]) -> list[Phase]:
    """Split rewards into phases, the cheapest kind first that anything can still be done in."""
    left = list(ordered)
    done: set[str] = set()
    result: list[Phase] = []
    while left:
        for kind in _CHEAP_FIRST:
            taken: list[str] = []
            for name in left:
                ready = name not in gates or gates[name].other in done
                if kind != "loop":  # there, what is in one phase runs side by side
                    ready = ready or gates[name].other in taken
                if kinds[name] == kind and ready:
                    taken.append(name)
            if taken:
                result.append(Phase(kind, tuple(taken)))
                done.update(taken)
                left = [name for name in left if name not in done]
                break
    return result
