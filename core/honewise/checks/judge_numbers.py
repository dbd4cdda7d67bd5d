"""What verdicts on labelled pairs say about a judge: agreement, position, length, consistency, calibration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from honewise.data.judged import JudgedPair, StoredVerdict
from honewise.metrics import (
    Estimate,
    bootstrap,
    brier,
    calibration_error,
    cohen_kappa,
    kendall_w,
    luck_of_calibration,
    verbosity_bias,
)
from honewise.metrics.judging import mean

__all__ = ["NUMBERS", "JudgeAudit", "JudgeSettings", "audit_verdicts", "length_of"]

T = TypeVar("T")

NUMBERS: Mapping[str, str] = {
    "agreement": "share of verdicts that are the label; first, second and tie are three different answers",
    "agreement_without_ties": "the same, where neither label nor verdict is a tie",
    "kappa": "agreement beyond what the habits of both would give by chance",
    "annotator_agreement": "how often two annotators of one pair agree: what may be asked of a judge",
    "flip_rate": "share of pairs for which the other answer wins when the two change places",
    "inconsistency": "the same, with a tie in one order only counted too",
    "first_shown": "share of verdicts for the answer shown first; 0.5 without a preference for a place",
    "verbosity_bias": "agreement where the label is for the longer answer, less where it is for the shorter",
    "agreement_longer": "agreement where the label is for the longer answer",
    "agreement_shorter": "agreement where the label is for the shorter answer",
    "length_preference": "share of verdicts for the longer answer, whatever the labels say",
    "longer_labelled": "share of labels for the longer answer",
    "self_consistency": "Kendall's W over all verdicts on a pair, mean; chance alone gives one over their number",
    "calibration_error": "distance of confidence from being right (ECE, 10 parts)",
    "calibration_error_by_luck": "what the same confidences would give if they were perfectly calibrated",
    "brier": "squared distance of the probability of the first answer from the label",
    "injection_resistance": "share of attacks that did not win the verdict for the worse answer",
    "injection_proof": "share of pairs for which no attack won it",
    "trivial_resistance": "share of answers that say nothing and did not win, nor tie, against a real one",
}
"""Every number of a judge's audit."""

_BINS = 10


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """How numbers are computed."""

    unit: Literal["words", "characters"] = "words"
    """Of length."""
    min_ratio: float = 1.1
    """One answer is longer where its length is at least so many times that of the other."""
    rounds: int = 1000
    """Of the bootstrap, which draws pairs."""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JudgeAudit:
    """One judge on one set of pairs."""

    judge: str
    pairs: int
    labelled: int
    tied: int
    """Labels that are ties."""
    verdicts: int
    unread: int
    """Questions from which no verdict could be had; they count for nothing else."""
    numbers: Mapping[str, Estimate]
    missing: Mapping[str, str] = field(default_factory=dict)
    """Numbers that could not be had, and why."""
    subsets: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    """Shares by attack, and what was asked."""

    def as_json(self) -> dict[str, Any]:
        return {
            "judge": self.judge,
            "pairs": self.pairs,
            "labelled": self.labelled,
            "tied_labels": self.tied,
            "verdicts": self.verdicts,
            "unread": self.unread,
            "numbers": {name: each.as_json() for name, each in self.numbers.items()},
            "not_measured": dict(self.missing),
            "subsets": {
                subset: {name: each.as_json() for name, each in found.items()} for subset, found in self.subsets.items()
            },
            **self.details,
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pair and what one judge said of it."""

    pair: JudgedPair
    read: tuple[StoredVerdict, ...]
    """Verdicts with a choice."""
    longer: int
    """1 where the first answer is longer, -1 the second, 0 neither."""

    def choices(self, order: str = "") -> list[int]:
        return [each.choice for each in self.read if each.choice is not None and order in ("", each.order)]

    @property
    def strict(self) -> list[int]:
        return [choice for choice in self.choices() if choice]

    @property
    def both_orders(self) -> bool:
        return bool(self.choices("ab") and self.choices("ba"))


def length_of(text: str, unit: str) -> int:
    return len(text.split()) if unit == "words" else len(text)


def audit_verdicts(
    pairs: Sequence[JudgedPair], judge: str, settings: JudgeSettings | None = None, *, by_subset: bool = True
) -> JudgeAudit:
    """All numbers that the verdicts of ``judge`` on ``pairs`` determine, each with its interval.

    A verdict that could not be read is left out and counted. Each pair counts once however many verdicts it has.
    """
    settings = settings or JudgeSettings()
    seen = [_seen(pair, judge, settings) for pair in pairs]
    said = [verdict for pair in pairs for verdict in pair.verdicts if verdict.judge == judge]
    numbers: dict[str, Estimate] = {}
    missing: dict[str, str] = {}
    for part in (_agreement, _position, _length, _consistency, _calibration):
        part(seen, settings, numbers, missing)
    subsets = dict.fromkeys(pair.subset for pair in pairs) if by_subset else {}
    parts = {name: [pair for pair in pairs if pair.subset == name] for name in subsets} if len(subsets) > 1 else {}
    return JudgeAudit(
        judge,
        len(pairs),
        sum(pair.label is not None for pair in pairs),
        sum(pair.label == 0 for pair in pairs),
        len(said),
        sum(verdict.choice is None for verdict in said),
        numbers,
        missing,
        {name: audit_verdicts(part, judge, settings, by_subset=False).numbers for name, part in parts.items()},
    )


def _seen(pair: JudgedPair, judge: str, settings: JudgeSettings) -> _Seen:
    read = tuple(each for each in pair.verdicts if each.judge == judge and each.choice is not None)
    one, other = length_of(pair.a, settings.unit), length_of(pair.b, settings.unit)
    apart = max(one, other) >= settings.min_ratio * min(one, other) and one != other
    return _Seen(pair, read, (1 if one > other else -1) if apart else 0)


Numbers = dict[str, Estimate]
Missing = dict[str, str]


def _put(
    name: str,
    items: Sequence[T],
    statistic: Callable[[Sequence[T]], float | None],
    settings: JudgeSettings,
    numbers: Numbers,
    missing: Missing,
    why: str,
) -> None:
    found = bootstrap(items, statistic, seed=settings.seed, rounds=settings.rounds)
    if found.value is None:
        missing[name] = why
    else:
        numbers[name] = found


def _agreement(seen: Sequence[_Seen], settings: JudgeSettings, numbers: Numbers, missing: Missing) -> None:
    known = [each for each in seen if each.pair.label is not None and each.read]
    why = "no pair has both a label and a verdict"
    exact = [_share([choice == each.pair.label for choice in each.choices()]) for each in known]
    _put("agreement", exact, mean, settings, numbers, missing, why)
    strict = [_share([choice == each.pair.label for choice in each.strict]) for each in known if _strict(each)]
    _put("agreement_without_ties", strict, mean, settings, numbers, missing, why + " that are no ties")
    _put("kappa", known, _kappa, settings, numbers, missing, why if not known else "labels and verdicts never differ")
    votes = [each.pair.votes for each in seen if len(each.pair.votes) > 1]
    among = [_share([one == other for at, one in enumerate(vote) for other in vote[:at]]) for vote in votes]
    _put("annotator_agreement", among, mean, settings, numbers, missing, "no pair has the votes of two annotators")


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def _strict(each: _Seen) -> bool:
    return bool(each.pair.label and each.strict)


def _kappa(seen: Sequence[_Seen]) -> float | None:
    return cohen_kappa([(each.pair.label, choice) for each in seen for choice in each.choices()])


def _position(seen: Sequence[_Seen], settings: JudgeSettings, numbers: Numbers, missing: Missing) -> None:
    both = [each for each in seen if each.both_orders]
    pairs = [[(one, other) for one in each.choices("ab") for other in each.choices("ba")] for each in both]
    why = "no pair has verdicts in both orders"
    flips = [_share([one * other < 0 for one, other in each]) for each in pairs]
    _put("flip_rate", flips, mean, settings, numbers, missing, why)
    unequal = [_share([one != other for one, other in each]) for each in pairs]
    _put("inconsistency", unequal, mean, settings, numbers, missing, why)
    places = [[c > 0 for c in each.choices("ab") if c] + [c < 0 for c in each.choices("ba") if c] for each in both]
    _put("first_shown", places, _pooled, settings, numbers, missing, why + " that are no ties")


def _pooled(parts: Sequence[Sequence[bool]]) -> float | None:
    return mean([float(hit) for part in parts for hit in part])


def _length(seen: Sequence[_Seen], settings: JudgeSettings, numbers: Numbers, missing: Missing) -> None:
    apart = [each for each in seen if each.longer]
    judged = [each for each in apart if each.strict]
    prefers = [_share([choice == each.longer for choice in each.strict]) for each in judged]
    why = f"no pair with a verdict has one answer at least {settings.min_ratio:g} times as long as the other"
    _put("length_preference", prefers, mean, settings, numbers, missing, why)
    labelled = [float(each.pair.label == each.longer) for each in apart if each.pair.label]
    _put("longer_labelled", labelled, mean, settings, numbers, missing, "no such pair has a label that is no tie")
    rows = [
        (each.pair.label == each.longer, _share([choice == each.pair.label for choice in each.strict]))
        for each in judged
        if each.pair.label
    ]
    without = "needs labels by people or a verifier: without them there is only a preference for length"
    _put("verbosity_bias", rows, verbosity_bias, settings, numbers, missing, without if not rows else (
        "all labels are for the longer answer, or all for the shorter"
    ))  # fmt: skip
    for name, longer in (("agreement_longer", True), ("agreement_shorter", False)):
        one_side = [agreed for is_longer, agreed in rows if is_longer == longer]
        _put(name, one_side, mean, settings, numbers, missing, "there are no such pairs")


def _consistency(seen: Sequence[_Seen], settings: JudgeSettings, numbers: Numbers, missing: Missing) -> None:
    places = {1: [1.0, 2.0], -1: [2.0, 1.0], 0: [1.5, 1.5]}
    repeated = [each.choices() for each in seen if len(each.choices()) > 1]
    found = [w for choices in repeated if (w := kendall_w([places[choice] for choice in choices])) is not None]
    why = "no pair has two verdicts" if not repeated else "every verdict is a tie"
    _put("self_consistency", found, mean, settings, numbers, missing, why)


def _calibration(seen: Sequence[_Seen], settings: JudgeSettings, numbers: Numbers, missing: Missing) -> None:
    told = []
    for each in seen:
        sure = [
            (verdict.confidence, verdict.choice == each.pair.label, verdict.choice)
            for verdict in each.read
            if verdict.confidence is not None and verdict.choice and each.pair.label
        ]
        if sure:
            told.append(sure)
    why = "no verdict comes with a confidence and a label, neither of them a tie"
    _put("calibration_error", told, _ece, settings, numbers, missing, why)
    _put("brier", told, _brier, settings, numbers, missing, why)
    luck = luck_of_calibration([sure for part in told for sure, _, _ in part], _BINS, seed=settings.seed)
    if luck is not None:
        numbers["calibration_error_by_luck"] = Estimate(luck, None, None, len(told))


Sure = tuple[float, bool, int]


def _ece(parts: Sequence[Sequence[Sure]]) -> float | None:
    flat = [each for part in parts for each in part]
    return calibration_error([sure for sure, _, _ in flat], [right for _, right, _ in flat], _BINS)


def _brier(parts: Sequence[Sequence[Sure]]) -> float | None:
    """Of the probability that the first answer is better: the confidence, or what is left of 1 for the second."""
    flat = [each for part in parts for each in part]
    chances = [sure if choice > 0 else 1 - sure for sure, _, choice in flat]
    return brier(chances, [right == (choice > 0) for _, right, choice in flat])
