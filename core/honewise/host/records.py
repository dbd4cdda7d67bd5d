"""What the host knows about one plugin, whatever became of it."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CORE", "GROUP", "PluginRecord", "State", "one_line"]

GROUP = "honewise"
"""The entry point group."""
CORE = "honewise"
"""The distribution whose own entry points are part of core: their names are bare and no allow list removes them."""

State = Literal["found", "loaded", "blocked", "incompatible", "broken"]


@dataclass
class PluginRecord:
    """One claim on an entry point's name: who makes it, and what became of it."""

    name: str
    """The entry point's name."""
    distribution: str = ""
    """The distribution that pip installed; empty for a plugin registered in this process."""
    version: str = ""
    state: State = "found"
    """``found``: not imported yet. ``blocked``: by the environment. ``incompatible``: needs another honewise, and is
    never imported. ``broken``: cannot be imported, or registered something that is refused."""
    reason: str = ""
    """One line, wherever the state is not ``found`` or ``loaded``."""
    domains: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    error: BaseException | None = None
    """With its traceback, where the plugin raised."""
    entry_point: Any = None
    """``importlib.metadata.EntryPoint``; None for a plugin registered in this process."""
    package: str = ""
    """The module that the entry point names."""

    @property
    def owner(self) -> str:
        """How messages name it: ``plugin sql (honewise-sql 0.2)``."""
        origin = f"{self.distribution} {self.version}".strip() or "registered in this process"
        return f"plugin {self.name} ({origin})"

    @property
    def core(self) -> bool:
        return self.distribution == CORE

    @property
    def usable(self) -> bool:
        return self.state in ("found", "loaded")

    def fail(self, error: BaseException) -> None:
        """Take note of what the plugin raised."""
        self.state, self.error, self.reason = "broken", error, one_line(error)

    def traceback(self) -> str:
        """The full traceback of ``error``; empty where there is none."""
        return "".join(traceback.format_exception(self.error)) if self.error else ""

    def as_json(self) -> dict[str, Any]:
        """What ``honewise plugins --json`` prints."""
        return {
            "name": self.name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "reason": self.reason,
            "domains": list(self.domains),
            "hooks": list(self.hooks),
        }


def one_line(error: BaseException) -> str:
    """``ModuleNotFoundError: No module named 'x'``, without line breaks; errors raised on purpose stand alone."""
    from honewise.errors import HonewiseError

    text = " ".join(str(error).split())
    if isinstance(error, HonewiseError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
