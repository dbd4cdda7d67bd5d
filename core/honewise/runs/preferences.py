"""What a run's store says of its pairs, of tasks written for it, and of its reward models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .store import StageState, Store

__all__ = ["HeldOut", "PairCounts", "held_out", "pair_counts", "sentences"]

_REASONS = {
    "tasks/tie": "all score the same",
    "tasks/unscored": "too few scored",
    "tasks/single": "one completion only",
    "tasks/margin": "below the margin",
    "tasks/length": "lengths too unlike",
    "given/tie": "given ties",
    "given/margin": "given below the margin",
    "given/length": "given of unlike lengths",
    "pairs/duplicate": "repeated pairs",
    "completions/duplicate": "repeated completions",
    "completions/unscored": "unscored completions",
}
"""Counts of what gave no pair, in words."""


@dataclass(frozen=True, slots=True)
class PairCounts:
    """How a ``pairs`` stage came by its pairs."""

    stage: str
    pairs: int
    sources: Mapping[str, int]
    without: Mapping[str, int]
    """What gave none, by reason."""
    chosen_longer: float
    """Share of pairs whose chosen completion is the longer one."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What a reward model makes of pairs whose prompts it has not seen."""

    stage: str
    pairs: int
    accuracy: float
    longer_wins: float
    """How often the longer completion is the chosen one: what length alone would get right."""
    loss: float


def pair_counts(store: Store) -> list[PairCounts]:
    """Those of every finished ``pairs`` stage."""
    found = []
    for state in _of_kind(store, "pairs"):
        numbers = _last(store, state.stage)
        if "pairs" not in numbers:
            continue
        sources = {
            name.removeprefix("pairs/"): int(value)
            for name, value in numbers.items()
            if name.startswith("pairs/") and name not in _REASONS
        }
        without = {words: int(numbers[name]) for name, words in _REASONS.items() if numbers.get(name)}
        found.append(PairCounts(state.stage, int(numbers["pairs"]), sources, without, numbers["chosen_longer"]))
    return found


def held_out(store: Store) -> list[HeldOut]:
    """That of every reward model that held pairs out."""
    found = []
    for state in _of_kind(store, "reward-model"):
        numbers = _last(store, state.stage)
        if "held_out/pairs" in numbers:
            values = (numbers[f"held_out/{name}"] for name in ("accuracy", "longer_wins", "loss"))
            found.append(HeldOut(state.stage, int(numbers["held_out/pairs"]), *values))
    return found


def sentences(store: Store) -> Iterator[str]:
    """One for each stage."""
    for made in pair_counts(store):
        sources = ", ".join(f"{count} from {name}" for name, count in made.sources.items())
        without = "".join(f"; {words}: {count}" for words, count in made.without.items())
        longer = f"the chosen one is longer in {made.chosen_longer:.0%}"
        yield f"{made.stage}: {made.pairs} pairs ({sources}{without}); {longer}"
    for state in _of_kind(store, "personas"):
        numbers = _last(store, state.stage)
        if numbers.get("instructions"):
            yield (
                f"{state.stage}: {numbers['tasks']:.0f} tasks as personas would ask them; the best answers to"
                f" {numbers['instructions']:.0f} total {numbers['reward/best']:.3g} on average and have"
                f" {numbers['characters/best']:.0f} characters, all answers {numbers['reward/all']:.3g} and"
                f" {numbers['characters/all']:.0f}"
            )
    for judged in held_out(store):
        yield (
            f"{judged.stage}: orders {judged.accuracy:.1%} of {judged.pairs} held-out pairs as they are;"
            f" the longer one is the chosen one in {judged.longer_wins:.1%}"
        )


def _of_kind(store: Store, kind: str) -> Iterator[StageState]:
    return (state for state in store.stages() if state.kind == kind)


def _last(store: Store, stage: str) -> Mapping[str, float]:
    """The numbers of the last step."""
    numbers = store.metrics(stage)
    return numbers[max(numbers)] if numbers else {}
