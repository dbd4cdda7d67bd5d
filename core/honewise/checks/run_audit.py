"""The audit of a training run: what changed between its beginning and its end, and whether that is a bad sign."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from honewise.metrics import Entailment, cosine_diversity, nli_diversity
from honewise.metrics.judging import mean

from .run_numbers import changes, words
from .run_sides import Change, Found, Group, Rollout, RunSettings, Sides, change_of, deciding
from .run_signs import Sign, signs
from .run_views import put_views

__all__ = ["Compared", "Readers", "RunAudited", "compare", "gap_between"]

_MOST_PROMPTS = 64
_MOST_TEXTS = 8
_MOST_INFERRED = 4


@dataclass(frozen=True, slots=True)
class Readers:
    """What reads texts for the numbers of diversity."""

    tokens: Callable[[str], Sequence[Hashable]] = words
    vocabulary: int | None = None
    """Different tokens there can be; None: as many as occur."""
    unit: str = "words"
    """What ``tokens`` gives, for people."""
    embed: Callable[[Sequence[str]], Sequence[Sequence[float]]] | None = None
    infer: Callable[[str, str], Entailment] | None = None
    """Premise and hypothesis to what follows."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One beginning and one end, or two policies on the same tasks."""

    what: str
    kind: str
    before: str
    after: str
    groups: tuple[int, int]
    completions: tuple[int, int]
    verifiers: Sequence[str]
    numbers: Mapping[str, Change]
    missing: Mapping[str, str]
    signs: Sequence[Sign]

    def as_json(self) -> dict[str, Any]:
        return {
            "what": self.what,
            "kind": self.kind,
            "before": {"name": self.before, "prompts": self.groups[0], "completions": self.completions[0]},
            "after": {"name": self.after, "prompts": self.groups[1], "completions": self.completions[1]},
            "verifiers": list(self.verifiers),
            "numbers": {name: change.as_json() for name, change in self.numbers.items()},
            "not_measured": dict(self.missing),
        }


@dataclass(frozen=True, slots=True)
class RunAudited:
    """Everything that was found about one run."""

    run: str
    compared: Sequence[Compared]
    gaps: Mapping[str, Mapping[str, Any]]
    """Stage to its generalisation gap."""
    signs: Sequence[Sign]
    """Of all places."""
    settings: RunSettings
    judges: Sequence[str] = ()
    unit: str = "words"
    notes: Sequence[str] = field(default_factory=tuple)
    """What was not looked at, and why."""

    @property
    def ok(self) -> bool:
        return not any(sign.found for sign in self.signs)

    def as_json(self) -> dict[str, Any]:
        return {
            "run": self.run,
            "ok": self.ok,
            "signs": [sign.as_json() for sign in self.signs],
            "compared": [each.as_json() for each in self.compared],
            "generalisation": {stage: dict(gap) for stage, gap in self.gaps.items()},
            "judges": list(self.judges),
            "diversity_unit": self.unit,
            "settings": asdict(self.settings),
            "notes": list(self.notes),
        }


def compare(
    sides: Sides,
    settings: RunSettings | None = None,
    *,
    judges: Sequence[str] = (),
    readers: Readers | None = None,
) -> Compared:
    """All numbers and signs of two sides."""
    settings, readers = settings or RunSettings(), readers or Readers()
    verifiers = sorted(deciding(sides))
    asked = [judge for judge in judges if judge not in verifiers]
    found = changes(sides, settings, judges=asked, tokens=readers.tokens, vocabulary=readers.vocabulary)
    for judge in asked:
        put_views(sides, judge, settings, found)
    _extras(sides, settings, readers, found)
    told = signs(
        sides.what,
        found.numbers,
        found.missing,
        settings,
        verifiers=verifiers,
        judges=asked,
        paired=sides.paired,
    )
    return Compared(
        sides.what,
        sides.kind,
        sides.before_name,
        sides.after_name,
        (len(sides.before), len(sides.after)),
        (sum(map(len, sides.before)), sum(map(len, sides.after))),
        verifiers,
        found.numbers,
        found.missing,
        told,
    )


def gap_between(
    held_out: Sequence[Group], training: Sequence[Group], settings: RunSettings, start: Sides | None = None
) -> tuple[Change | None, Change | None]:
    """The generalisation gap: the share of correct completions on held-out and on training tasks, and how much further
    apart they are than at the ``start``, whose sides are held-out and training tasks, too."""
    gap = change_of(Sides("", "", held_out, training), _right, mean, settings)
    if gap is None or start is None:
        return gap, None
    growth = change_of(
        Sides("", "", _tagged(start.before, start.after), _tagged(held_out, training)), _tag, _gap, settings
    )
    return gap, growth


Tagged = tuple[bool, float]
"""Whether a task is of training, and the share of its completions that are correct."""


@dataclass(frozen=True, slots=True)
class _Part(Sequence[Rollout]):
    """A group, and which tasks it belongs to."""

    rows: Group
    trained: bool

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Any) -> Any:
        return self.rows[place]


def _tagged(held_out: Sequence[Group], training: Sequence[Group]) -> list[Group]:
    return [*(_Part(group, False) for group in held_out), *(_Part(group, True) for group in training)]


def _tag(group: Group) -> Tagged | None:
    share = _right(group)
    return None if share is None or not isinstance(group, _Part) else (group.trained, share)


def _gap(items: Sequence[Tagged]) -> float | None:
    here, there = mean([share for trained, share in items if trained]), mean([s for t, s in items if not t])
    return None if here is None or there is None else here - there


def _right(group: Group) -> float | None:
    return mean([float(row.scored.correct) for row in group if row.scored.correct is not None])


def _extras(sides: Sides, settings: RunSettings, readers: Readers, found: Found) -> None:
    """Diversity by models, on so many prompts and completions as can be had in reasonable time."""
    few = Sides(
        sides.what,
        sides.kind,
        sides.before[:_MOST_PROMPTS],
        sides.after[:_MOST_PROMPTS],
        sides.paired,
    )
    embed, infer = readers.embed, readers.infer

    def embedded(group: Group) -> float | None:
        assert embed is not None
        return cosine_diversity(embed(_texts(group, _MOST_TEXTS))) if len(group) > 1 else None

    def inferred(group: Group) -> float | None:
        assert infer is not None
        return nli_diversity(_texts(group, _MOST_INFERRED), infer) if len(group) > 1 else None

    extras: Sequence[tuple[str, Any, Callable[[Group], float | None], str]] = (
        ("embedding_within", embed, embedded, "--embedding-model"),
        ("nli_within", infer, inferred, "--nli-model"),
    )
    for name, model, item, option in extras:
        if model is None:
            found.missing[name] = f"no model was given: {option}"
        elif (change := change_of(few, item, mean, settings)) is not None:
            found.numbers[name] = change
        else:
            found.missing[name] = "no prompt has two completions"


def _texts(group: Sequence[Rollout], most: int) -> list[str]:
    return [row.scored.completion.text for row in group[:most]]
