"""Counts and latencies per reward, and the budget of what may stay unscored."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from honewise.contracts import Scored
from honewise.errors import UnscoredBudgetExceeded

from .outcome import Outcome

__all__ = ["RewardStats", "Tally", "check_budget", "reasons"]

_LATEST = 10_000


@dataclass(frozen=True, slots=True)
class RewardStats:
    """What one reward has done since its scorer was made."""

    completions: int = 0
    """Completions it was asked about."""
    calls: int = 0
    """Calls made: identical completions of a task share one, a closed gate needs none."""
    gated: int = 0
    """Completions whose gate was closed."""
    unscored: Mapping[str, int] = field(default_factory=dict)
    """Completions by the reason why they are unscored."""
    seconds: float = 0.0
    """Sum over the calls."""
    p50: float = 0.0
    """Median seconds of the latest 10,000 calls."""
    p95: float = 0.0


class Tally:
    """Adds up outcomes of one reward."""

    def __init__(self) -> None:
        self._completions = self._calls = self._gated = 0
        self._unscored: Counter[str] = Counter()
        self._seconds = 0.0
        self._latest: deque[float] = deque(maxlen=_LATEST)

    def add(self, outcome: Outcome, completions: int) -> None:
        """One outcome, shared by so many completions."""
        self._completions += completions
        if outcome.gated:
            self._gated += completions
            return
        if outcome.unscored is not None:
            self._unscored[outcome.unscored] += completions
        self._calls += 1
        self._seconds += outcome.seconds
        self._latest.append(outcome.seconds)

    def stats(self) -> RewardStats:
        ordered = sorted(self._latest)
        return RewardStats(
            completions=self._completions,
            calls=self._calls,
            gated=self._gated,
            unscored=dict(self._unscored.most_common()),
            seconds=self._seconds,
            p50=_quantile(ordered, 0.5),
            p95=_quantile(ordered, 0.95),
        )


def reasons(scored: Sequence[Scored]) -> list[tuple[str, int]]:
    """Why cells with a weight are unscored, and how many completions each reason concerns; the commonest first."""
    counts: Counter[str] = Counter()
    for row in scored:
        counts.update({cell.unscored for cell in row.rewards.values() if cell.unscored is not None and cell.weight})
    return counts.most_common()


def check_budget(scored: Sequence[Scored], max_unscored: float) -> None:
    """Raise ``UnscoredBudgetExceeded``, with a table of reasons, where more than this share has no total."""
    without = sum(row.total is None for row in scored)
    if not scored or without <= max_unscored * len(scored):
        return
    table = [f"  {count:6d}  {reason}" for reason, count in reasons(scored)]
    raise UnscoredBudgetExceeded(
        f"{without} of {len(scored)} completions ({without / len(scored):.1%}) have no total;"
        f" at most {max_unscored:.1%} may be unscored\n" + "\n".join(table[:20])
    )


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
