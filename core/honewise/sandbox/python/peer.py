"""Two processes that call each other's functions over a link, and trust each other with plain data only.

What is no plain data (a function, a generator, an object) stays where it is and is known on the other side as a
``Remote``. Such a thing can be called, iterated, and asked for attributes; it is equal to itself alone. Nothing that
one side compares is compared by code of the other.
"""

from __future__ import annotations

import builtins
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from .codec import TooLarge, Unreadable, pack, unpack
from .frames import read_frame, write_frame
from .running import FAILURES, TOLD, Found, trouble

__all__ = ["Gone", "Peer", "Remote"]

_MUTABLE = (list, dict, set, bytearray, deque)


class Gone(BaseException):
    """The other side is gone, or sends what it should not. No ``except Exception`` of a test takes it for an answer."""


class Remote:
    """Something of the other side that is no plain data."""

    __slots__ = ("_id", "_peer", "_traits", "_type")

    def __init__(self, peer: Peer, number: int, kind: str, traits: str) -> None:
        self._peer, self._id, self._type, self._traits = peer, number, kind, traits

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self._peer.call(self._id, arguments, keywords)

    def __bool__(self) -> bool:
        return "t" in self._traits

    def __iter__(self) -> Iterator[Any]:
        if "i" not in self._traits:
            raise TypeError(f"{self._type!r} object is not iterable")
        if "n" in self._traits:
            return self
        found: Iterator[Any] = self._peer.ask("iter", self._id)
        return found

    def __next__(self) -> Any:
        if "n" not in self._traits:
            raise TypeError(f"{self._type!r} object is not an iterator")
        more, value = self._peer.ask("next", self._id)
        if not more:
            raise StopIteration
        return value

    def __len__(self) -> int:
        return int(self._peer.ask("len", self._id))

    def __getitem__(self, key: Any) -> Any:
        return self._peer.ask("item", self._id, key)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"{self._type!r} object has no attribute {name!r} that could be had from here")
        return self._peer.ask("get", self._id, name)

    def __str__(self) -> str:
        return str(self._peer.ask("str", self._id))

    def __repr__(self) -> str:
        return str(self._peer.ask("repr", self._id))


class Peer:
    """One side of a link. With ``names`` it lets the other do all that a program may do to its own objects; without,
    the other can only call and iterate what it was handed."""

    def __init__(self, link: int, *, limit: int, names: Mapping[str, Any] | None = None) -> None:
        self._link, self._limit, self._names = link, limit, names
        self._mine: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._theirs: dict[int, Remote] = {}
        self.gone = False

    def serve(self) -> None:
        """Answer until the other side hangs up."""
        while (body := read_frame(self._link, self._limit)) is not None:
            self._answer(unpack(body, self._known))

    def ask(self, *what: object) -> Any:
        """Ask the other side, and answer what it asks meanwhile. Raises what it raised, or ``Gone``."""
        if self.gone:
            raise Gone
        try:
            body = pack(list(what), self._limit, self._named)
        except TooLarge:
            raise ValueError("what is sent is too large") from None
        try:
            write_frame(self._link, body)
            while True:
                reply = read_frame(self._link, self._limit)
                if reply is None:
                    raise Gone
                message = unpack(reply, self._known)
                if message[0] == "value":
                    return message[1]
                if message[0] == "raised":
                    error = _rebuilt(*message[1:])
                    break
                self._answer(message)
        except (OSError, Unreadable, ValueError, TypeError, LookupError, Gone):
            self.gone = True
            raise Gone from None
        raise error

    def call(self, target: str | int, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Call a function of the other side; containers that it changed are changed here too."""
        value, changes = self.ask("call", target, list(arguments), dict(keywords))
        for key, now in changes:
            _become(arguments[key] if isinstance(key, int) else keywords[key], now)
        return value

    def _answer(self, message: Sequence[Any]) -> None:
        try:
            answer: list[Any] = ["value", self._done(*message)]
        except BaseException as error:
            answer = _raised(error)
        try:
            body = pack(answer, self._limit, self._named)
        except TooLarge:
            body = pack(_raised(ValueError("the result is too large"), kind="output"), self._limit)
        write_frame(self._link, body)

    def _done(self, what: str, *more: Any) -> Any:
        if what == "call":
            return self._called(*more)
        if what == "names":
            return [name for name in more[0] if name in (self._names or ())]
        target = self._mine[more[0]]
        if what == "iter":
            return iter(target)
        if what == "next":
            try:
                return [True, next(target)]
            except StopIteration:
                return [False, None]
        if self._names is None:
            raise PermissionError(f"{what} is not to be had of what tests hand over")
        return _QUESTIONS[what](target, *more[1:])

    def _called(self, target: str | int, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        if isinstance(target, str):
            if target not in (self._names or ()):
                raise NameError(f"name {target!r} is not defined")
            function = (self._names or {})[target]
        else:
            function = self._mine[target]
        given: dict[int | str, Any] = dict(enumerate(arguments))
        given.update(keywords)
        before = {key: self._image(value) for key, value in given.items() if isinstance(value, _MUTABLE)}
        value = function(*arguments, **keywords)
        return value, [[key, given[key]] for key, image in before.items() if self._image(given[key]) != image]

    def _image(self, value: object) -> bytes:
        try:
            return pack(value, self._limit, lambda other: {"o": id(other)})
        except TooLarge:
            return b""

    def _named(self, value: object) -> Any:
        """What stands for a value that is no plain data."""
        if isinstance(value, Remote) and value._peer is self:
            return {"o": ["yours", value._id]}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._mine)
            self._mine.append(value)
        traits = ("i" if hasattr(type(value), "__iter__") else "") + ("n" if hasattr(type(value), "__next__") else "")
        return {"o": ["mine", number, type(value).__name__[:200], traits + ("t" if _truth(value) else "")]}

    def _known(self, found: Any) -> object:
        whose, number, *more = found
        if whose == "yours":
            return self._mine[number]
        if number not in self._theirs:
            self._theirs[number] = Remote(self, int(number), str(more[0]), str(more[1]))
        return self._theirs[number]


_QUESTIONS: Mapping[str, Callable[..., Any]] = {
    "get": getattr,
    "item": lambda target, key: target[key],
    "len": len,
    "str": str,
    "repr": repr,
}


def _truth(value: object) -> bool:
    try:
        return bool(value)
    except Exception:
        return True


def _become(old: Any, new: Any) -> None:
    """Give a container what its copy on the other side has now."""
    if type(old) is not type(new):
        return
    if isinstance(old, list | bytearray):
        old[:] = new
    else:
        old.clear()
        old.extend(new) if isinstance(old, deque) else old.update(new)


def _raised(error: BaseException, *, kind: str = "") -> list[Any]:
    names = [each.__name__ for each in type(error).__mro__]
    told = trouble(error)
    return ["raised", names, list(error.args), kind or told.kind, told.error, list(told.lines)]


def _rebuilt(names: list[str], arguments: list[Any], kind: str, message: str, lines: list[Any]) -> BaseException:
    """The nearest exception that Python has; never a class of the other side, and never a kind that is no failure."""
    error: BaseException = Exception(message)
    for name in names:
        known = getattr(builtins, str(name), None)
        if isinstance(known, type) and issubclass(known, BaseException):
            try:
                error = known(*arguments)
            except Exception:
                continue
            break
    setattr(
        error,
        TOLD,
        Found(kind if kind in FAILURES else "error", str(message), [(int(line), str(text)) for line, text in lines]),
    )
    return error
