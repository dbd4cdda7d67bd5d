"""One generic table of named things, with provenance; a duplicate is an error that names both owners."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from .errors import DuplicateName, UnknownName

__all__ = ["Entry", "Registry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """A registered thing and who registered it."""

    name: str
    value: T
    owner: str


class Registry(Generic[T]):
    """Names to things of one ``kind`` ("domain", "reward", ...).

    Raises ``DuplicateName`` on a second owner of a name and ``UnknownName``, with near matches, on a miss.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}

    def add(self, name: str, value: T, owner: str) -> None:
        self.refuse_duplicate(name, owner)
        self._entries[name] = Entry(name, value, owner)

    def refuse_duplicate(self, name: str, owner: str) -> None:
        """Raise ``DuplicateName`` where ``name`` is taken, by whomever."""
        taken = self._entries.get(name)
        if taken is not None:
            raise DuplicateName(f"{self.kind} {name!r} of {owner} is already registered by {taken.owner}")

    def get(self, name: str) -> T:
        return self.entry(name).value

    def entry(self, name: str) -> Entry[T]:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(self.kind, name, self._entries) from None

    def merge(self, staged: Mapping[str, T], owner: str) -> None:
        """Add all of ``staged`` or, where one name is taken, nothing."""
        for name in staged:
            self.refuse_duplicate(name, owner)
        for name, value in staged.items():
            self._entries[name] = Entry(name, value, owner)

    def names(self) -> list[str]:
        return sorted(self._entries)

    def entries(self) -> list[Entry[T]]:
        return [self._entries[name] for name in self.names()]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._entries)
