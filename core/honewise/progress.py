"""How a long step says what it is doing: a protocol, and the silent default. The terminal's is in ``cli``."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Told by every long step. Implementations never raise."""

    def start(self, what: str, total: int | None = None) -> None:
        """A step of ``total`` units begins; a step still open is closed."""

    def advance(self, count: int = 1, **numbers: float) -> None:
        """``count`` units are done; ``numbers`` are the latest metrics."""

    def note(self, line: str) -> None:
        """One line worth a person's attention, such as why something is unscored."""

    def done(self) -> None:
        """The open step has ended."""


class Silent:
    """Says nothing."""

    def start(self, what: str, total: int | None = None) -> None:
        pass

    def advance(self, count: int = 1, **numbers: float) -> None:
        pass

    def note(self, line: str) -> None:
        pass

    def done(self) -> None:
        pass
