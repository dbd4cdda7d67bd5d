"""What calls are worth: the share of names and arguments that are right, each paid where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honewise import Completion, Piece, Score, Span, Task, Unscored, reward
from honewise.errors import DataError

from .apis import Looked, look_up, read_table
from .calls import Call, calls_within, function_calls, parsed
from .functions import Judged, judge, units_of

__all__ = ["call", "match", "syntax"]

_WRONG_VALUE = 0.25
_UNREADABLE = "no calls could be read from the reply"


@reward
def call(task: Task, completion: Completion) -> Score | Unscored:
    """Share of the names and arguments that the task wants, paid where they stand; what is too much is charged.

    For functions: each accepted call has one unit for its name and one for each argument it must give. A wrong value
    costs a quarter of a unit, so that the right name is worth something before its arguments are; an unknown argument
    and a call that nobody asked for cost a unit. The total is at least 0. For APIs of a table: 1/4
    for a name that the table has, 1/4 for a model that it has under it, 1/2 for one of the right domain.
    """
    return _scored(task, completion)


@reward
def match(task: Task, completion: Completion) -> Score | Unscored:
    """1 where all calls are right and no other is made (BFCL), or the API is of the right domain (Gorilla), else 0."""
    found = _scored(task, completion)
    if isinstance(found, Unscored):
        return found
    return Score(float(bool(found.correct)), correct=found.correct, parts=found.parts, feedback=found.feedback)


@reward
def syntax(completion: Completion) -> float:
    """1 where the code is Python, else 0."""
    return float(completion.answer is not None and parsed(completion.answer) is not None)


def _scored(task: Task, completion: Completion) -> Score | Unscored:
    reference = task.reference
    if reference.get("calls") is not None:
        return _functions(task, completion)
    if not reference.get("api_call") or not reference.get("table"):
        return Unscored("the task has neither 'calls' nor 'api_call' with a 'table'")
    try:
        table = read_table(str(reference["table"]))
    except (OSError, DataError) as error:
        return Unscored(f"the table of APIs cannot be read: {error}")
    return _api(table, str(reference.get("domain")), completion)


def _functions(task: Task, completion: Completion) -> Score:
    calls = None if completion.answer is None else function_calls(completion.answer)
    if calls is None:
        return Score(correct=False, feedback=_UNREADABLE)
    accepted: Sequence[Mapping[str, Any]] = task.reference["calls"]
    if not accepted:
        right = not calls
        return Score(float(right), correct=right, feedback="" if right else "no function serves this request")
    best = _paired(calls, accepted, task.inputs.get("functions") or ())
    units = sum(units_of(each) for each in accepted)
    code = completion.pieces["code"]
    spans: list[Span] = []
    taken = {id(each.call) for each in best}
    for each in best:
        spans.append(_span(code, each.call.start, each.call.name_end, 1 / units, each.call.name))
        spans += [_span(code, argument.start, argument.end, 1 / units, argument.name) for argument in each.paid]
        for wrong in each.wrong:
            cost = _WRONG_VALUE if wrong in each.wrong_values else 1.0
            spans.append(_span(code, wrong.start, wrong.end, -cost / units, "wrong argument"))
        if not each.call.plain:
            spans.append(_span(code, each.call.name_end, each.call.end, -1 / units, "unpacked arguments"))
    surplus = [each for each in calls if id(each) not in taken]
    spans += [_span(code, each.start, each.name_end, -1 / units, "unwanted call") for each in surplus]
    correct = len(best) == len(accepted) and not surplus and all(each.perfect for each in best)
    floor = max(0.0, -sum(span.value for span in spans))
    return Score(floor, spans, correct=correct, feedback="" if correct else _feedback(best, accepted, surplus))


def _paired(
    calls: Sequence[Call], accepted: Sequence[Mapping[str, Any]], functions: Sequence[Mapping[str, Any]]
) -> list[Judged]:
    """Each accepted call with one that was made, the best pairs first."""
    pairs = []
    for wanted, each in enumerate(accepted):
        for made, one in enumerate(calls):
            judged = judge(one, each, functions)
            if judged is not None:
                faults = len(judged.wrong) + len(judged.missing) + (not one.plain)
                pairs.append((faults, -len(judged.paid), wanted, made, judged))
    pairs.sort(key=lambda pair: pair[:4])
    found: dict[int, Judged] = {}
    used = set[int]()
    for _, _, wanted, made, judged in pairs:
        if wanted not in found and made not in used:
            found[wanted] = judged
            used.add(made)
    return list(found.values())


def _feedback(best: Sequence[Judged], accepted: Sequence[Mapping[str, Any]], surplus: Sequence[Call]) -> str:
    said = [f"{each.call.name}: {len(each.wrong)} arguments are wrong" for each in best if each.wrong]
    said += [f"{each.call.name}: {', '.join(each.missing)} missing" for each in best if each.missing]
    if len(best) < len(accepted):
        said.append(f"{len(accepted) - len(best)} of {len(accepted)} calls are not made")
    return "; ".join([*said, *(f"{each.name} is not asked for" for each in surplus)])


def _api(table: Sequence[Any], domain: str, completion: Completion) -> Score:
    calls = None if completion.answer is None else calls_within(completion.answer)
    if not calls:
        return Score(correct=False, parts=_classes("unreadable"), feedback=_UNREADABLE)
    looked = [(each, look_up(each, table, domain)) for each in calls]
    one, found = next((pair for pair in looked if pair[1].name_known), looked[0])
    spans = []
    code = completion.pieces["code"]
    if found.name_known:
        spans.append(_span(code, one.start, one.name_end, 0.25, "known name"))
    worth = {"correct": 0.75, "wrong": 0.25, "hallucinated": 0.0}[found.kind]
    places = [(each.start, each.end) for each in found.paid] or [(one.start, one.end)]
    if worth:
        spans += [_span(code, start, end, worth / len(places), found.kind) for start, end in places]
    return Score(
        0.0, spans, correct=found.kind == "correct", parts=_classes(found.kind), feedback=_said(found, one, domain)
    )


def _classes(kind: str) -> dict[str, float]:
    return {name: float(name == kind) for name in ("correct", "wrong", "hallucinated", "unreadable")}


def _said(found: Looked, one: Call, domain: str) -> str:
    if found.kind == "correct":
        return ""
    return f"{one.name}: not of {domain}" if found.kind == "wrong" else f"{one.name}: there is no such API"


def _span(code: Piece, start: int, end: int, value: float, label: str) -> Span:
    return code.slice(start, end).pays(value, label)
