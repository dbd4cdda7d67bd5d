"""Python values as bytes that are safe to read: plain data arrive as they were, all else as ``Opaque``.

Plain are None, bool, int of any size, float (NaN and infinities too), complex, str (lone surrogates too), bytes,
bytearray, list, tuple, set, frozenset, dict, range, collections.deque, Decimal, Fraction, and date, datetime, time and
timedelta. An instance of a subclass arrives as its base: what a comparison says then is Python's own word and not that
of a class that a program wrote.

The reader builds such values and nothing else, whatever the bytes: it is bounded by their number, in depth, and in the
time that colliding keys can cost.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

__all__ = ["MAX_DEPTH", "Opaque", "TooLarge", "Unreadable", "pack", "unpack"]

MAX_DEPTH = 100
_SMALL = 10**15
_FEW = 64
_Other = Callable[[object], Any]


class TooLarge(Exception):
    """The value does not fit into the bytes it may take."""


class Unreadable(ValueError):
    """Bytes that no ``pack`` made."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that is no plain data. Equal to nothing but itself, whatever its class says."""

    type: str
    text: str
    """Its ``repr``, cut; empty where it has none."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def pack(value: object, limit: int, other: _Other | None = None) -> bytes:
    """``value`` in at most ``limit`` bytes. Raises ``TooLarge``.

    ``other`` gives, for what is no plain data, JSON that stands for it; left out, it is marked as ``Opaque``.
    """
    try:
        body = json.dumps(_Packer(limit, other or _opaque).plain(value, 0), separators=(",", ":")).encode("ascii")
    except RecursionError:
        raise TooLarge from None
    if len(body) > limit:
        raise TooLarge
    return body


def unpack(body: bytes | bytearray, other: Callable[[Any], object] | None = None) -> Any:
    """The value of ``body``. Raises ``Unreadable``. ``other`` makes what stands for what its counterpart packed."""
    try:
        return _Reader(other or _as_opaque).value(json.loads(body), 0)
    except Unreadable:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, ArithmeticError, OverflowError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}"[:200]) from None


class _Packer:
    def __init__(self, limit: int, other: _Other) -> None:
        self._left, self._other = limit, other

    def plain(self, value: object, depth: int) -> Any:
        """As JSON. The first test that fits decides, by exact class first: most values are of one."""
        self._left -= 1
        if self._left < 0:
            raise TooLarge
        if depth > MAX_DEPTH:
            return self._other(value)
        kind = type(value)
        if value is None or kind is bool or kind is float:
            return value
        if tag := _TAGS.get(kind):
            return self._tagged(value, tag, depth)
        for base, tag in _TAGS.items():
            if issubclass(kind, base):
                return self._tagged(value, tag, depth)
        return self._other(value)

    def _tagged(self, value: Any, tag: str, depth: int) -> Any:
        if tag == "int":
            return _int(int.__int__(value))
        if tag == "float":
            return float.__float__(value)
        if tag == "str":
            text = str.__str__(value)
            self._left -= len(text)
            if self._left < 0:
                raise TooLarge
            return text
        if tag == "list":
            return self._each(list.__iter__(value), depth)
        if tag == "d":
            pairs = dict.items(value)
            return {"d": self._each((each for pair in pairs for each in pair), depth)}
        if tag in _ITERATED:
            return {tag: self._each(_ITERATED[tag](value), depth)}
        found = _SCALARS[tag][0](value)
        self._left -= len(found) if isinstance(found, str) else 0
        return {tag: found}

    def _each(self, values: Iterable[object], depth: int) -> list[Any]:
        plain, inner = self.plain, depth + 1
        return [plain(each, inner) for each in values]


def _int(value: int) -> Any:
    return value if -_SMALL < value < _SMALL else {"i": hex(value)}


def _opaque(value: object) -> Any:
    return {"o": [type(value).__name__[:200], described(value)]}


def described(value: object, limit: int = 200) -> str:
    """The beginning of its ``repr``; empty where that fails."""
    try:
        return repr(value)[:limit]
    except Exception:
        return ""


def _as_opaque(found: Any) -> Opaque:
    kind, text = found
    return Opaque(str(kind), str(text))


_TAGS: dict[type, str] = {
    int: "int",
    str: "str",
    list: "list",
    tuple: "t",
    dict: "d",
    float: "float",
    set: "s",
    frozenset: "f",
    bytes: "b",
    complex: "c",
    range: "r",
    bytearray: "y",
    deque: "q",
    Decimal: "D",
    Fraction: "F",
    datetime: "T",
    date: "E",
    time: "M",
    timedelta: "L",
}
_ITERATED: dict[str, Callable[[Any], Iterator[object]]] = {
    "t": tuple.__iter__,
    "s": set.__iter__,
    "f": frozenset.__iter__,
    "q": deque.__iter__,
}


def _base64(value: bytes | bytearray) -> str:
    return b64encode(value).decode("ascii")


_SCALARS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], object]]] = {
    "i": (hex, lambda text: int(text, 16)),
    "b": (_base64, lambda text: b64decode(text, validate=True)),
    "y": (_base64, lambda text: bytearray(b64decode(text, validate=True))),
    "c": (lambda value: [value.real, value.imag], lambda pair: complex(float(pair[0]), float(pair[1]))),
    "r": (lambda v: [hex(v.start), hex(v.stop), hex(v.step)], lambda three: range(*(int(each, 16) for each in three))),
    "D": (Decimal.__str__, Decimal),
    "F": (
        lambda value: [hex(value.numerator), hex(value.denominator)],
        lambda pair: Fraction(int(pair[0], 16), int(pair[1], 16)),
    ),
    "T": (datetime.isoformat, datetime.fromisoformat),
    "E": (date.isoformat, date.fromisoformat),
    "M": (time.isoformat, time.fromisoformat),
    "L": (lambda value: [value.days, value.seconds, value.microseconds], lambda three: timedelta(*map(int, three))),
}


class _Reader:
    def __init__(self, other: Callable[[Any], object]) -> None:
        self._other = other

    def value(self, found: Any, depth: int) -> Any:
        if depth > 2 * MAX_DEPTH + 10:
            raise Unreadable("nested too deeply")
        if isinstance(found, list):
            return [self.value(each, depth + 1) for each in found]
        if not isinstance(found, dict):
            return found
        ((tag, inner),) = found.items()
        if tag == "o":
            return self._other(inner)
        if tag in _SCALARS:
            return _SCALARS[tag][1](inner)
        if not isinstance(inner, list):
            raise Unreadable(f"{tag!r} of no list")
        values = [self.value(each, depth + 1) for each in inner]
        if tag == "d":
            return self._dict(values[::2], values[1::2])
        if tag in ("s", "f"):
            _refuse_collisions(values)
            return set(values) if tag == "s" else frozenset(values)
        return {"t": tuple, "q": deque}[tag](values)

    def _dict(self, keys: list[Any], values: list[Any]) -> dict[Any, Any]:
        _refuse_collisions(keys)
        return dict(zip(keys, values, strict=True))


def _refuse_collisions(keys: list[Any]) -> None:
    """Thousands of keys with one hash, chosen so, would keep the reader busy for minutes."""
    if len(keys) > _FEW and max(Counter(map(hash, keys)).values()) > _FEW:
        raise Unreadable("keys that collide")
