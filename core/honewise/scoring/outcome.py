"""What one reward gave for one completion, checked, before a rubric weighs it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honewise.contracts import Reward, Score, Span, Unscored

__all__ = ["GATED", "Outcome", "blamed", "checked", "failed"]

_SLACK = 1e-9
_FEEDBACK = 2_000
_LABEL = 200
_SPANS = 100_000
_PLAIN = frozenset({float, int, bool})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A checked result, or the reason why there is none."""

    terminal: float = 0.0
    spans: tuple[Span, ...] = ()
    correct: bool | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    feedback: str = ""
    unscored: str | None = None
    gated: bool = False
    seconds: float = 0.0

    @property
    def value(self) -> float:
        """Terminal plus spans; only meaningful where it is neither unscored nor gated."""
        if not self.spans:
            return self.terminal
        return self.terminal + math.fsum([span.value for span in self.spans])

    def pack(self) -> list[Any]:
        """As plain data, short."""
        if self.gated:
            return [self.seconds]
        if self.unscored is not None:
            return [self.seconds, self.unscored]
        packed: list[Any] = [self.seconds, self.terminal, self.correct]
        if self.spans or self.parts or self.feedback:
            packed.append([[span.start, span.end, span.value, span.label] for span in self.spans])
        if self.parts or self.feedback:
            packed += [dict(self.parts), self.feedback]
        return packed

    @classmethod
    def unpack(cls, packed: Sequence[Any]) -> Outcome:
        seconds = packed[0]
        if len(packed) == 1:
            return cls(gated=True, seconds=seconds)
        if len(packed) == 2:
            return cls(unscored=packed[1], seconds=seconds)
        spans = tuple([Span(*span) for span in packed[3]]) if len(packed) > 3 else ()
        parts, feedback = (packed[4], packed[5]) if len(packed) > 4 else ({}, "")
        return cls(packed[1], spans, packed[2], parts, feedback, seconds=seconds)


GATED = Outcome(gated=True)


def failed(name: str, why: str, seconds: float = 0.0) -> Outcome:
    """Unscored, for a reason that is not the model's."""
    return Outcome(unscored=f"{name}: {why}"[:_FEEDBACK], seconds=seconds)


def blamed(name: str, reward: Reward, what: str, seconds: float = 0.0) -> Outcome:
    """Scored at the reward's least, because the model's own text caused it."""
    least = reward.bounds[0]
    if not math.isfinite(least):
        return failed(name, f"{what} while running the model's text, and its bounds have no finite least", seconds)
    return Outcome(terminal=least, correct=False, feedback=f"the model's text {what}", seconds=seconds)


def checked(name: str, reward: Reward, result: object, text: str, seconds: float = 0.0) -> Outcome:
    """Check what a reward returned for ``text``; whatever breaks the contract is unscored, with the reason."""
    if isinstance(result, Unscored):
        return failed(name, str(result.reason), seconds)
    try:
        outcome = _outcome(result, text, seconds)
    except _Broken as broken:
        return failed(name, str(broken), seconds)
    except Exception as error:
        # A lazy sequence or a property of a foreign object may raise anything when looked at.
        return failed(name, f"its result cannot be read ({type(error).__name__}: {error})", seconds)
    low, high = reward.bounds
    value, slack = outcome.value, _SLACK * max(1.0, len(outcome.spans))
    if not low - slack <= value <= high + slack:
        return failed(name, f"value {value:g} is outside its bounds [{low:g}, {high:g}]", seconds)
    return outcome


class _Broken(Exception):
    """The result breaks the contract."""


def _outcome(result: object, text: str, seconds: float) -> Outcome:
    if not isinstance(result, Score):
        if result is None:
            raise _Broken("returned None; a number, a bool, Score or Unscored is needed")
        plain = _plain(result)
        correct = plain if isinstance(plain, bool) else None
        return Outcome(_number(plain, "its value"), correct=correct, seconds=seconds)
    spans = result.spans
    if len(spans) > _SPANS:
        raise _Broken(f"returned {len(spans)} spans; at most {_SPANS} are taken")
    right = _plain(result.correct)
    if right is not None and not isinstance(right, bool):
        raise _Broken(f"correct is {type(right).__name__} {right!r:.40}; a bool or None is needed")
    return Outcome(
        _number(_plain(result.terminal), "its terminal credit"),
        tuple([_span(span, len(text)) for span in spans]) if spans else (),
        right,
        _parts(result.parts) if result.parts else {},
        _short(str(result.feedback), _FEEDBACK) if result.feedback else "",
        seconds=seconds,
    )


def _parts(parts: Mapping[str, float]) -> dict[str, float]:
    for key, part in parts.items():
        if type(part) is not float or not math.isfinite(part) or type(key) is not str:
            break
    else:
        return dict(parts)
    return {str(key): _number(_plain(part), f"part {key!r}") for key, part in parts.items()}


def _span(span: object, length: int) -> Span:
    if not isinstance(span, Span):
        raise _Broken(f"a span is {type(span).__name__}; Span is needed")
    start, end, value = _plain(span.start), _plain(span.end), _plain(span.value)
    if type(start) is not int or type(end) is not int:
        raise _Broken(f"a span is at [{start!r:.20}, {end!r:.20}); whole numbers are needed")
    if not 0 <= start <= end <= length:
        raise _Broken(f"a span is at [{start}, {end}), outside the text of {length} characters")
    if type(value) is float and math.isfinite(value) and type(span.label) is str and len(span.label) <= _LABEL:
        return Span(start, end, value, span.label)
    number = _number(value, f"the value of the span at [{start}, {end})")
    return Span(start, end, number, _short(str(span.label), _LABEL))


def _plain(value: object) -> object:
    """Numbers of numpy and torch as Python's."""
    if value is None or type(value) in _PLAIN:
        return value
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _number(value: object, what: str) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if not isinstance(value, (int, float)):
        raise _Broken(f"{what} is {type(value).__name__} {value!r:.40}; a number is needed")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Broken(f"{what} is {number}; a finite number is needed")
    return number


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
