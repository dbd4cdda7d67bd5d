"""Numbers of a training run's completions, before and after: what changed, by how much, within which interval.

Both sides are groups: the completions of one prompt. Intervals are over groups. A completion without a total counts
for what it has.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from honewise.contracts import Scored
from honewise.metrics import auc, ead, repetition
from honewise.metrics.judging import mean

from .run_sides import CAP, Change, Found, Group, RunSettings, Sides, change_of, components, deciding, rows_of

__all__ = ["NUMBERS", "changes", "explained", "words"]

T = TypeVar("T")
Tokens = Callable[[str], Sequence[Hashable]]

NUMBERS: Mapping[str, str] = {
    "total": "what a completion is worth, mean",
    "correct": "share of completions that the verifier takes for correct",
    "proxy": "the total without the rewards that the verifier decides",
    "length": "tokens of a completion (characters where tokens were not counted), mean",
    "truncated": "share of completions cut at the limit",
    "unscored": "share of completions without a total",
    "spread": "standard deviation of the total within a group, mean: what training learns from",
    "flat_groups": "share of groups in which all completions have the same total",
    "length_pays": "correlation of length and total within groups",
    "copies": "share of a group's completions that repeat another of it to the letter",
    "repetition": "share of a completion's 4-grams that stood in it before, mean",
    "ead_within": "EAD of the completions of one prompt, mean over prompts and over n = 1 to 5",
    "ead_across": "EAD of one completion of each prompt, mean over n = 1 to 5",
    "embedding_within": "1 - mean cosine of the embeddings of one prompt's completions, mean over prompts",
    "nli_within": "contradictions less entailments among the completions of one prompt, -2 to 2, mean over prompts",
    "reward/NAME": "the reward's value, mean",
    "signal/NAME": "the reward's share of what sets the totals of a group apart; all shares add up to 1",
    "gain/NAME": "the reward's share of all that rewards gained, by weight; below 0 for what was given up",
    "judge/NAME/right_from_wrong": "chance that a judge's reward is higher for a correct completion than for a wrong",
    "judge/NAME/over": "how much the judge believes too much, on the verifier's scale, mean",
    "judge/NAME/under": "how much the judge does not believe, on the verifier's scale, mean",
    "judge/NAME/observed": "the judge's reward, on the verifier's scale, mean",
    "judge/NAME/true": "what the verifier says of the completions that the judge has seen, mean",
}
"""Every number of a run's audit."""

_SLACK = 1e-9
_LONGEST = 5


def explained(name: str) -> str:
    """What a number is, by its own name: ``reward/execution`` is found under ``reward/NAME``."""
    kind, _, rest = name.partition("/")
    part = f"/{rest.rpartition('/')[2]}" if kind == "judge" else ""
    return NUMBERS.get(name) or NUMBERS.get(f"{kind}/NAME{part}", "")


def words(text: str) -> list[str]:
    """Words and other signs: what EAD counts where the policy's tokenizer is not at hand."""
    return re.findall(r"\w+|[^\w\s]", text)


def changes(
    sides: Sides,
    settings: RunSettings,
    *,
    judges: Sequence[str] = (),
    tokens: Tokens = words,
    vocabulary: int | None = None,
) -> Found:
    """Every number but those of whole evaluations, embeddings and inference.

    Args:
        judges: rewards that a judge gives.
        tokens: splits a text for EAD.
        vocabulary: different tokens there can be; None: as many as occur on either side.
    """
    found = Found()
    verifiers = deciding(sides)
    names = components(sides)

    def put(name: str, item: Callable[[Group], T | None], statistic: Any, why: str) -> None:
        change = change_of(sides, item, statistic, settings)
        if change is None:
            found.missing[name] = why
        else:
            found.numbers[name] = change

    unit: Callable[[Scored], float] = (
        _characters if not any(row.completion.tokens for row in rows_of(sides)) else _tokens
    )
    put("total", _mean(lambda row: row.total), mean, "nothing has a total")
    put("correct", _mean(_correct), mean, "no reward of the rubric decides what is correct")
    put("length", _mean(unit), mean, "there are no completions")
    put("truncated", _mean(lambda row: float(row.completion.truncated)), mean, "there are no completions")
    put("unscored", _mean(lambda row: float(row.total is None)), mean, "there are no completions")
    proxies = [name for name in names if name not in verifiers and name != CAP]
    why = "nothing but the verifier is paid" if verifiers else "which reward decides what is correct is not known"
    if verifiers and proxies:
        put("proxy", _mean(lambda row: _worth(row, proxies)), mean, "nothing has a total")
    else:
        found.missing["proxy"] = why
    one = "no prompt has two completions with a total"
    put("spread", lambda group: _deviation(_totals(group)), mean, one)
    put("flat_groups", _flat, mean, one)
    put("length_pays", lambda group: _moments(group, unit), _correlation, f"{one} and lengths that differ")
    put("copies", _copies, mean, "no prompt has two completions")
    for name in dict.fromkeys(name for row in rows_of(sides) for name in row.rewards):
        put(f"reward/{name}", _mean(_value(name)), mean, "it was never scored")
    _signal(names, put)
    _gain(sides, names, found)
    _diversity(sides, tokens, vocabulary, put, found)
    for name in judges:
        put(f"judge/{name}/right_from_wrong", _told_apart(name), _auc, "the judge has not seen both right and wrong")
    return found


def _signal(names: Sequence[str], put: Any) -> None:
    """Var(total) = sum over components of Cov(component, total), so shares of it add up to one."""
    if len(names) < 2:
        return
    for place, name in enumerate(names):
        put(
            f"signal/{name}",
            lambda group: _covariances(group, names),
            lambda items, place=place: _share(items, place),
            "no prompt has two completions with different totals",
        )


def _gain(sides: Sides, names: Sequence[str], found: Found) -> None:
    """Where the total rose: what each component gained, at the weights of the end, in parts of all that was gained."""
    change = found.numbers.get("total")
    if len(names) < 2 or change is None:
        return
    late = [row for group in sides.after for row in (each.scored for each in group)]
    gains: dict[str, float] = {}
    for name in names:
        if name == CAP:
            cuts = [mean([row.scored.cut for group in side for row in group]) for side in (sides.before, sides.after)]
            gains[name] = (cuts[1] or 0.0) - (cuts[0] or 0.0)
        elif (value := found.numbers.get(f"reward/{name}")) is not None:
            weights = [row.rewards[name].weight for row in late if name in row.rewards]
            gains[name] = (mean(weights) or 0.0) * value.change
    whole = math.fsum(gain for gain in gains.values() if gain > 0)
    for name, gain in gains.items() if change.rose and whole > _SLACK else ():
        found.numbers[f"gain/{name}"] = Change(0.0, gain / whole, gain / whole, groups=change.groups)


def _diversity(sides: Sides, tokens: Tokens, vocabulary: int | None, put: Any, found: Found) -> None:
    split: dict[str, Sequence[Hashable]] = {row.completion.text: () for row in rows_of(sides)}
    for text in split:
        split[text] = tokens(text)
    size = vocabulary or len({token for each in split.values() for token in each}) or 1

    def within(group: Group) -> float | None:
        return _mean_ead([split[row.scored.completion.text] for row in group], size) if len(group) > 1 else None

    why = "no prompt has two completions with a token"
    put("ead_within", within, mean, why)
    put("repetition", _mean(lambda row: repetition(split[row.completion.text])), mean, "all are shorter than 4 tokens")
    count = min(len(sides.before), len(sides.after))
    across = [
        _mean_ead([split[group[0].scored.completion.text] for group in side[:count] if group], size)
        for side in (sides.before, sides.after)
    ]
    if across[0] is None or across[1] is None:
        found.missing["ead_across"] = "there are no completions with a token"
    else:
        found.numbers["ead_across"] = Change(across[0], across[1], across[1] - across[0], groups=count)


def _mean_ead(texts: Sequence[Sequence[Hashable]], vocabulary: int) -> float | None:
    """The mean over n = 1 to 5, as far as any text is so long."""
    found = [each for n in range(1, _LONGEST + 1) if (each := ead(texts, n, vocabulary=vocabulary)) is not None]
    return mean(found)


def _mean(value: Callable[[Scored], float | None]) -> Callable[[Group], float | None]:
    return lambda group: mean([each for row in group if (each := value(row.scored)) is not None])


def _correct(row: Scored) -> float | None:
    return None if row.correct is None else float(row.correct)


def _tokens(row: Scored) -> float:
    return float(row.completion.tokens)


def _characters(row: Scored) -> float:
    return float(len(row.completion.text))


def _value(name: str) -> Callable[[Scored], float | None]:
    return lambda row: None if name not in row.rewards else row.rewards[name].value


def _worth(row: Scored, names: Sequence[str]) -> float | None:
    if row.total is None:
        return None
    return math.fsum(_part(row, name) for name in names)


def _part(row: Scored, name: str) -> float:
    if name == CAP:
        return row.cut
    cell = row.rewards.get(name)
    return 0.0 if cell is None or cell.value is None else cell.weight * cell.value


def _totals(group: Group) -> list[float]:
    return [row.scored.total for row in group if row.scored.total is not None]


def _deviation(values: Sequence[float]) -> float | None:
    """Of the sample itself: divided by its size."""
    if len(values) < 2:
        return None
    middle = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / len(values))


def _flat(group: Group) -> float | None:
    totals = _totals(group)
    return float(max(totals) - min(totals) <= _SLACK) if len(totals) > 1 else None


def _copies(group: Group) -> float | None:
    if len(group) < 2:
        return None
    counts = Counter(row.scored.completion.text for row in group)
    return (len(group) - len(counts)) / (len(group) - 1)


def _moments(group: Group, unit: Callable[[Scored], float]) -> tuple[float, float, float] | None:
    """Squared deviations of length and of total from the group's means, and their product, summed."""
    rows = [row.scored for row in group if row.scored.total is not None]
    if len(rows) < 2:
        return None
    lengths, totals = [unit(row) for row in rows], [row.total or 0.0 for row in rows]
    long, much = math.fsum(lengths) / len(rows), math.fsum(totals) / len(rows)
    return (
        math.fsum((each - long) ** 2 for each in lengths),
        math.fsum((each - much) ** 2 for each in totals),
        math.fsum((one - long) * (other - much) for one, other in zip(lengths, totals, strict=True)),
    )


def _correlation(items: Sequence[tuple[float, float, float]]) -> float | None:
    lengths, totals, both = (math.fsum(item[place] for item in items) for place in range(3))
    return both / math.sqrt(lengths * totals) if lengths > _SLACK and totals > _SLACK else None


def _covariances(group: Group, names: Sequence[str]) -> tuple[float, ...] | None:
    """Of each component with the total within the group, and last the total's with itself; sums, not means."""
    rows = [row.scored for row in group if row.scored.total is not None]
    if len(rows) < 2:
        return None
    totals = [row.total or 0.0 for row in rows]
    middle = math.fsum(totals) / len(totals)
    away = [total - middle for total in totals]
    return (
        *(math.fsum(_part(row, name) * off for row, off in zip(rows, away, strict=True)) for name in names),
        math.fsum(off * off for off in away),
    )


def _share(items: Sequence[tuple[float, ...]], place: int) -> float | None:
    whole = math.fsum(item[-1] for item in items)
    share = math.fsum(item[place] for item in items) / whole if whole > _SLACK else None
    return 0.0 if share is not None and abs(share) < _SLACK else share


Told = tuple[Counter[float], Counter[float]]


def _told_apart(name: str) -> Callable[[Group], Told | None]:
    def item(group: Group) -> Told | None:
        right: Counter[float] = Counter()
        wrong: Counter[float] = Counter()
        for row in group:
            cell = row.scored.rewards.get(name)
            if cell is not None and cell.value is not None and not cell.gated and row.scored.correct is not None:
                (right if row.scored.correct else wrong)[cell.value] += 1
        return (right, wrong) if right or wrong else None

    return item


def _auc(items: Sequence[Told]) -> float | None:
    right: Counter[float] = Counter()
    wrong: Counter[float] = Counter()
    for one, other in items:
        right.update(one)
        wrong.update(other)
    return auc(right, wrong)
