"""Checks of what completions are worth: each reward, each preset, each metric."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from honewise.contracts import Reward, Rubric, Score, Scored, Span
from honewise.errors import JudgeError
from honewise.scoring.outcome import GATED, Outcome, failed
from honewise.scoring.rubric import BoundRubric, bind_rubric, scored
from honewise.scoring.settle import in_turn, part_ends, settled

from .bench import Bench, Probe, outcome, said
from .findings import Finding, describe, judge_reward, run
from .probes import growing, too_slow
from .structure import declared, rubric_problems
from .trust import evaluates, fooled, state

__all__ = ["metrics", "presets", "rewards"]

SLACK = 1e-9
_TWICE = 6
"""Gold completions that are tried once more, each behind itself."""
_LONG = 6
"""Kinds of long text on which a reward's time is taken."""


def rewards(bench: Bench, chosen: Sequence[Reward], *, own: bool = True) -> Iterator[Finding]:
    """Every promise of every reward that can run here."""
    for reward in chosen:
        if any(declared(reward)):
            continue  # its declaration comes first: see the check `rewards`
        if reward.name in bench.skipped:
            continue  # reported by whoever had to end it
        if not bench.can_run(reward):
            yield Finding("scored", True, f"reward {reward.name}", f"not run here: it needs a {reward.cost}")
            continue
        checks: dict[str, Callable[[Bench, Reward], Iterator[str]]] = {
            "scored": _scored,
            "bounds": _bounds,
            "spans": _spans,
            "eval": evaluates,
        }
        if "judge" not in reward.arguments:  # a judge's verdicts are its own; the reward only passes them on
            checks |= {"settled": _settled, "deterministic": _deterministic, "gold": _gold, "empty": _empty}
            if reward.batch:
                checks["batch"] = _batch
            checks["state"] = state
            if reward.cost == "cpu":
                checks["deadline"] = _deadline
        for check, problems in checks.items():
            yield judge_reward(check, reward, functools.partial(problems, bench, reward), own=own)


def presets(bench: Bench) -> Iterator[Finding]:
    """Every promise of every preset; a preset whose terms are broken is reported by `rubrics` alone."""
    for name, rubric in bench.domain.rubrics.items():
        rows = [] if any(rubric_problems(bench, rubric)) else _rows(bench, rubric)
        if not rows:
            continue
        subject = f"preset {name}"
        yield run("preset-gold", subject, functools.partial(_preset_gold, bench, rubric, rows))
        yield run("preset-empty", subject, functools.partial(_preset_empty, bench, rows))
        yield run("preset-fooled", subject, functools.partial(fooled, bench, rows))
        yield run("preset-total", subject, functools.partial(_preset_total, rows))


def metrics(bench: Bench) -> Iterator[Finding]:
    """Each metric on the rows of the default preset, and on none."""
    rubric = next(iter(bench.domain.rubrics.values()), None)
    rows = [] if rubric is None or any(rubric_problems(bench, rubric)) else _rows(bench, rubric)
    for name, metric in bench.domain.metrics.items():
        yield run("metrics", f"metric {name}", functools.partial(_metric, metric, rows))


def _pairs(bench: Bench, reward: Reward) -> Iterator[tuple[Probe, Any]]:
    return zip(bench.probes, bench.results(reward, bench.options(reward)), strict=True)


def _scored(bench: Bench, reward: Reward) -> Iterator[str]:
    if not bench.probes:
        yield "no completion could be tried: see the checks of samples, gold and parse"
    for probe, result in _pairs(bench, reward):
        if isinstance(result, JudgeError) or any(True for _ in (*_outside(reward, result), *_stray(probe, result))):
            continue  # a judge's failure is not the reward's; the others have checks of their own
        reason = outcome(reward, probe, result).unscored
        if reason is not None:
            yield f"{probe} is unscored: {reason.removeprefix(f'{reward.name}: ')}"


def _bounds(bench: Bench, reward: Reward) -> Iterator[str]:
    found = [f"{probe} {problem}" for probe, result in _pairs(bench, reward) for problem in _outside(reward, result)]
    bench.tally(reward).out_of_range = len(found)
    yield from found


def _outside(reward: Reward, result: Any) -> Iterator[str]:
    value = result.value if isinstance(result, Score) else result
    if hasattr(value, "__float__"):  # numbers of numpy and torch count
        value = float(value)
        low, high = reward.bounds
        if not low - SLACK * 1000 <= value <= high + SLACK * 1000:
            yield f"scores {value:g}, outside [{low:g}, {high:g}]"


def _spans(bench: Bench, reward: Reward) -> Iterator[str]:
    for probe, result in _pairs(bench, reward):
        yield from (f"{probe}: {problem}" for problem in _stray(probe, result))


def _stray(probe: Probe, result: Any) -> Iterator[str]:
    for span in result.spans if isinstance(result, Score) else ():
        if not isinstance(span, Span):
            yield f"{describe(span)} is no Span"
        elif not (type(span.start) is int and type(span.end) is int and 0 <= span.start <= span.end <= len(probe.text)):
            yield f"{span} is outside the text of {len(probe.text)} characters"


def _settled(bench: Bench, reward: Reward) -> Iterator[str]:
    for gold in bench.golds[:_TWICE]:
        begun = [gold.text[:end] for end in part_ends(gold.completion)]
        for first, text in [
            (gold.text, gold.text),
            *((part, f"\n{gold.text}") for part in dict.fromkeys([*begun, gold.text])),
        ]:
            once = next((_paid(bench, reward, probe) for probe in bench.parsed(gold.task, [first])), ())
            for probe in bench.parsed(gold.task, [first + text]):
                paid = _paid(bench, reward, probe)
                anew = math.fsum(span.value for span in paid if span.start >= len(first))
                gained = math.fsum(span.value for span in paid) - math.fsum(span.value for span in once)
                if anew > gained + SLACK:
                    yield f"{probe} earns {anew:g} behind its first {len(first)} characters, and gains {gained:g} by it"


def _paid(bench: Bench, reward: Reward, probe: Probe) -> Sequence[Span]:
    """What is paid within the text, as scoring pays it; nothing where it is unscored."""
    turns = in_turn(lambda text: next((p.completion for p in bench.parsed(probe.task, [text])), None), probe.completion)
    options, found = bench.options(reward), []
    for turn in turns:
        each = replace(probe, completion=turn.completion)
        found.append((turn, outcome(reward, each, bench.result(reward, each, options))))
    return settled([(turn, one) for turn, one in found if one.unscored is None] or found).spans


def _deterministic(bench: Bench, reward: Reward) -> Iterator[str]:
    options = bench.options(reward)
    found = []
    for index, (probe, result) in enumerate(_pairs(bench, reward)):
        first = outcome(reward, probe, result)
        for _ in range(2 if index % 5 == 0 else 1):  # out of step with whatever repeats itself
            second = outcome(reward, probe, bench.result(reward, probe, options))
            if first != second:
                found.append(f"{probe} scores {said(first)}, then {said(second)}")
                break
    bench.tally(reward).unsteady = len(found)
    yield from found
    yield from (f"its call changes {probe}, or the task" for probe in bench.changed[id(reward)])


def _batch(bench: Bench, reward: Reward) -> Iterator[str]:
    options = bench.options(reward)
    alone = bench.outcomes(reward, options)
    every = range(len(bench.probes))
    found: dict[int, str] = {}
    for indices, how in ((list(every), "in a batch"), (list(reversed(every)), "in another order")):
        probes = [bench.probes[index] for index in indices]
        results = bench.raw(reward, probes, options) if probes else []
        if len(results) != len(probes):
            yield f"a batch of {len(probes)} gave {len(results)} results"
            return
        for index, probe, result in zip(indices, probes, results, strict=True):
            together = outcome(reward, probe, result)
            if together != alone[index]:
                found.setdefault(index, f"{probe} scores {said(alone[index])} alone and {said(together)} {how}")
    bench.tally(reward).by_order = len(found)
    yield from found.values()


def _gold(bench: Bench, reward: Reward) -> Iterator[str]:
    outcomes = bench.outcomes(reward, bench.options(reward))
    values = {index: found.value for index, found in enumerate(outcomes) if found.unscored is None}
    for gold, others in _by_task(bench.probes, lambda probe: probe.gold).items():
        for other in others:
            if gold in values and other in values and values[other] > values[gold] + SLACK:
                yield f"{bench.probes[gold]} scores {values[gold]:g}, {bench.probes[other]} scores {values[other]:g}"


def _empty(bench: Bench, reward: Reward) -> Iterator[str]:
    outcomes = bench.outcomes(reward, bench.options(reward))
    values = {index: found.value for index, found in enumerate(outcomes) if found.unscored is None}
    for empty, others in _by_task(bench.probes, lambda probe: not probe.text).items():
        for other in others:
            if empty in values and other in values and values[other] < values[empty] - SLACK:
                yield f"the empty completion scores {values[empty]:g}, {bench.probes[other]} scores {values[other]:g}"


def _by_task(probes: Sequence[Probe], chosen: Callable[[Probe], bool]) -> Mapping[int, list[int]]:
    """Index of each chosen probe: indices of the others of its task."""
    tasks: dict[str, list[int]] = {}
    for index, probe in enumerate(probes):
        tasks.setdefault(probe.task.id, []).append(index)
    return {
        index: [other for other in tasks[probe.task.id] if other != index]
        for index, probe in enumerate(probes)
        if chosen(probe)
    }


def _deadline(bench: Bench, reward: Reward) -> Iterator[str]:
    if not bench.golds:
        return
    gold, options = bench.golds[0], bench.options(reward)
    kinds = [
        (unit, sizes)
        for unit, sizes in growing(gold.text, bench.sizes)
        if unit in ("a", "(", "a b c ") or len(unit) > 6
    ]
    for unit, sizes in kinds[:_LONG]:
        before = 0.0
        for size, text in zip(bench.sizes, sizes, strict=True):
            probes = bench.parsed(gold.task, [text]) if size <= bench.longest else []
            if not probes:
                break
            began = time.process_time()
            result = bench.result(reward, probes[0], options)
            took = time.process_time() - began
            what = f"{size:,} characters of {describe(unit)}"
            if isinstance(result, Exception | SystemExit):
                if not any(isinstance(short, Exception | SystemExit) for short in bench.results(reward, options)):
                    yield f"{what} are unscored: raised {describe(result)}"
                break
            if too_slow(took, before, reward.deadline, size, bench.sizes[-1]):
                yield f"{what} take {took:.2f} s; its deadline is {reward.deadline:g} s"
                break
            before = took


def _rows(bench: Bench, rubric: Rubric) -> list[Scored]:
    """Each probe as a sound preset takes it; terms that cannot run here are left out, with what they gate."""
    found = {name: bench.reward(name) for name in rubric.terms}
    kept = {name: rubric.term(name) for name, reward in found.items() if bench.can_run(reward)}
    dropped = found.keys() - kept.keys()
    bound = bind_rubric(rubric, found)
    kept = {name: term for name, term in kept.items() if name not in bound.gates or bound.gates[name].other in kept}
    if not kept or rubric.correct in dropped:
        return []
    bound = bind_rubric(Rubric(kept, rubric.correct, rubric.cap_wrong), {name: found[name] for name in kept})
    columns = {name: bench.outcomes(found[name], kept[name].options) for name in kept}
    rows = []
    for index, probe in enumerate(bench.probes):
        outcomes = _gated(bound, {name: column[index] for name, column in columns.items()})
        rows.append(scored(bound, probe.task, probe.completion, outcomes, step=0))
    return rows


def _gated(rubric: BoundRubric, outcomes: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The outcomes after the gates, which come before what they gate in the rubric's order."""
    result: dict[str, Outcome] = {}
    for name in rubric.terms:
        gate = rubric.gates.get(name)
        result[name] = outcomes[name]
        if gate is None:
            continue
        other = result[gate.other]
        if other.unscored is not None:
            result[name] = failed(name, f"its gate {gate} cannot be decided")
        elif not gate.open(rubric.term(gate.other).otherwise if other.gated else other.value):
            result[name] = GATED
    return result


def _preset_gold(bench: Bench, rubric: Rubric, rows: Sequence[Scored]) -> Iterator[str]:
    for gold, others in _by_task(bench.probes, lambda probe: probe.gold).items():
        row = rows[gold]
        if row.total is None:
            for name, cell in row.rewards.items():
                if cell.unscored is not None and "judge" not in bench.reward(name).arguments:
                    yield f"{bench.probes[gold]} has no total: {cell.unscored}"
            continue
        if rubric.correct is not None and row.correct is not True:
            said = row.rewards[rubric.correct].feedback
            yield f"{bench.probes[gold]} is not correct for {rubric.correct!r}" + (f" ({said})" if said else "")
        for other in others:
            total = rows[other].total
            if total is not None and not bench.probes[other].text and total > row.total - SLACK:
                yield f"{bench.probes[gold]} totals {row.total:g}, and the empty completion totals {total:g}"
            elif total is not None and total > row.total + SLACK:
                yield f"{bench.probes[gold]} totals {row.total:g}, {bench.probes[other]} totals {total:g}"


def _preset_empty(bench: Bench, rows: Sequence[Scored]) -> Iterator[str]:
    for empty, others in _by_task(bench.probes, lambda probe: not probe.text).items():
        least = rows[empty].total
        if rows[empty].correct:
            yield f"the empty completion of task {rows[empty].task.id!r} is correct"
        for other in others:
            total = rows[other].total
            if least is not None and total is not None and total < least - SLACK:
                yield f"the empty completion totals {least:g}, {bench.probes[other]} totals {total:g}"


def _preset_total(rows: Sequence[Scored]) -> Iterator[str]:
    for row in rows:
        if row.total is None:
            continue
        cells = [cell for cell in row.rewards.values() if cell.weight != 0]
        parts = [cell.weight * value for cell in cells for value in (cell.terminal, *(s.value for s in cell.spans))]
        paid = math.fsum([*parts, row.cut])
        if not abs(paid - row.total) <= SLACK * max(1.0, abs(row.total)):
            yield f"task {row.task.id!r}: the credit of a completion adds up to {paid!r}, its total is {row.total!r}"


def _metric(metric: Callable[[Sequence[Scored]], Mapping[str, float]], rows: Sequence[Scored]) -> Iterator[str]:
    for given, what in ((rows, f"{len(rows)} rows"), ([], "no rows"), (rows[:1], "one row")):
        try:
            numbers = metric(given)
        except (Exception, SystemExit) as error:
            yield f"for {what} it raised {describe(error)}"
            continue
        if not isinstance(numbers, Mapping):
            yield f"for {what} it gave {describe(numbers)}, not a mapping"
            continue
        for name, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                yield f"for {what} it gave {name!r} the value {value!r}"
