"""What a judge may cost, and what it has cost."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from honewise.errors import JudgeBudgetExceeded

__all__ = ["Budget", "Purse", "Spent"]


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that may be used; None: no limit."""

    calls: int | None = None
    """Answers that were paid for: neither failed attempts nor those from the cache."""
    tokens: int | None = None
    """Of prompts and replies together."""
    cost: float | None = None
    """In the currency of the prices."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was used."""

    calls: int = 0
    tokens: int = 0
    cost: float = 0.0


class Purse:
    """A budget and what was spent of it. May be used from several threads.

    A call is let out while nothing is used up. What calls under way cost is known once they end, so tokens and money
    may pass their limits by as much as those; the number of calls never does.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.budget = budget or Budget()
        self._spent = Spent()
        self._out = 0
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        return self._spent

    def charge(self, spent: Spent) -> None:
        """Add what was spent before, such as by the run that is resumed."""
        with self._lock:
            now = self._spent
            self._spent = Spent(now.calls + spent.calls, now.tokens + spent.tokens, now.cost + spent.cost)

    def take(self) -> None:
        """Let a call out. Raises ``JudgeBudgetExceeded`` where something is used up."""
        with self._lock:
            limits = {
                "calls": (self._spent.calls + self._out, self.budget.calls),
                "tokens": (self._spent.tokens, self.budget.tokens),
                "cost": (self._spent.cost, self.budget.cost),
            }
            for name, (used, limit) in limits.items():
                if limit is not None and used >= limit:
                    raise JudgeBudgetExceeded(
                        f"the judge's budget is used up: {name} {used:g} of {limit:g}; to go on, allow it more with"
                        f" judge.budget.{name}=NUMBER"
                    )
            self._out += 1

    def give_back(self, *, tokens: int = 0, cost: float = 0.0, paid: bool = False) -> None:
        """A call that was let out has ended, with an answer where it is ``paid``."""
        with self._lock:
            self._out -= 1
            now = self._spent
            self._spent = replace(now, calls=now.calls + paid, tokens=now.tokens + tokens, cost=now.cost + cost)
