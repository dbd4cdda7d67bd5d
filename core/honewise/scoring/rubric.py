"""What a rubric makes of outcomes: values, totals, correctness, and the cap on wrong completions.

Value. ``normalise`` maps the reward's bounds to [0, 1], ``clip`` cuts, both on the value as a whole: a scale multiplies
spans and terminal credit alike, a shift or a cut goes to the terminal. A closed gate gives ``otherwise`` as it stands.

Correctness. It is what the reward named by ``Rubric.correct`` says; where that reward gives a bare number, its upper
bound means correct. A gated one is not correct.

Cap (``cap_wrong``). The floor is the least that a right completion can total: the reward named by ``correct`` at its
upper bound, each other weighted term at the least of its range and, where its gate can be closed then, of
``otherwise`` (for a negative weight: the most). A completion that is not correct totals at most the floor less
``CAP_MARGIN`` times the range of totals; what is taken is ``Scored.cut``. So no wrong completion outscores a right one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from honewise.contracts import Cell, Completion, Reward, Rubric, Scored, Span, Task, Term
from honewise.errors import UnknownName, UserError

from .gates import Gate, gates_of, order
from .outcome import Outcome

__all__ = ["CAP", "CAP_MARGIN", "BoundRubric", "bind_rubric", "cap_of", "check_term", "scored"]

CAP = "cap"
"""The component that the cap is, beside the rubric's rewards."""

CAP_MARGIN = 1e-3
"""How far below the floor a wrong completion is kept, as a share of the range of totals."""

_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class BoundRubric(Rubric):
    """A checked rubric with the declared bounds of its rewards."""

    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    gates: Mapping[str, Gate] = field(default_factory=dict)

    def weights(self, step: int) -> dict[str, float]:
        """Every weight at a step."""
        return {name: _weight(self.term(name).weight, step) for name in self.terms}


def _weight(weight: float | Mapping[int, float], step: int) -> float:
    if not isinstance(weight, Mapping):
        return float(weight)
    return float(weight[max((since for since in weight if since <= step), default=min(weight))])


def bind_rubric(rubric: Rubric, rewards: Mapping[str, Reward]) -> BoundRubric:
    """Check a rubric against its rewards.

    Raises ``UserError`` on a gate that is unreadable, circular or on an absent reward, on a ``correct`` that the
    rubric does not have, on a normalisation, clip or weight without sense, and on a cap without a floor.
    """
    if not rubric.terms:
        raise UserError("the rubric has no rewards")
    gates = gates_of({name: rubric.term(name).when for name in rubric.terms})
    order(rubric.terms, gates)
    bounds = {name: rewards[name].bounds for name in rubric.terms}
    bound = BoundRubric(
        terms={name: rubric.term(name) for name in rubric.terms},
        correct=rubric.correct,
        cap_wrong=rubric.cap_wrong,
        bounds=bounds,
        gates=gates,
    )
    for name in rubric.terms:
        check_term(name, bound.term(name), bounds[name])
    if rubric.correct is not None and rubric.correct not in rubric.terms:
        raise UnknownName("reward (named by the rubric's 'correct')", rubric.correct, rubric.terms)
    if rubric.cap_wrong:
        _check_cap(bound)
    return bound


def scored(
    rubric: BoundRubric,
    task: Task,
    completion: Completion,
    outcomes: Mapping[str, Outcome],
    step: int = 0,
    *,
    weights: Mapping[str, float] | None = None,
) -> Scored:
    """One completion as the rubric takes it at a training step, whose ``weights`` may be given for many at once."""
    weights = rubric.weights(step) if weights is None else weights
    cells = {
        name: _cell(rubric.term(name), rubric.bounds[name], outcomes[name], weight) for name, weight in weights.items()
    }
    correct = _correct(rubric, outcomes) if rubric.correct is not None else None
    if rubric.cap_wrong and correct is True:
        cells = _hold_promise(rubric, cells)
        correct = None if cells[str(rubric.correct)].value is None else correct
    earned = [cell.weight * cell.value for cell in cells.values() if cell.value is not None]
    lost = len(earned) < len(cells) and any(cell.value is None and cell.weight != 0 for cell in cells.values())
    if lost or (rubric.cap_wrong and correct is None):
        return Scored(task, completion, cells, None, correct)
    total = math.fsum(earned)
    cut = cap_of(rubric, cells, total, bool(correct)) if rubric.cap_wrong else 0.0
    return Scored(task, completion, cells, total + cut, correct, cut)


def cap_of(rubric: BoundRubric, cells: Mapping[str, Cell], total: float, correct: bool) -> float:
    """What the cap takes (<= 0) from ``total``, which is made of these cells and no others."""
    if correct:
        return 0.0
    weights = {name: cell.weight for name, cell in cells.items() if cell.weight != 0}
    floor = math.fsum(_least(rubric, name, weight) for name, weight in weights.items())
    width = math.fsum(abs(weight) * _width(rubric, name) for name, weight in weights.items())
    return min(0.0, floor - CAP_MARGIN * (width or 1.0) - total)


def _cell(term: Term, bounds: tuple[float, float], outcome: Outcome, weight: float) -> Cell:
    if outcome.unscored is not None:
        return Cell(value=None, weight=weight, unscored=outcome.unscored, seconds=outcome.seconds)
    if outcome.gated:
        return Cell(value=term.otherwise, weight=weight, gated=True, terminal=term.otherwise, seconds=outcome.seconds)
    spans, value, terminal = outcome.spans, outcome.value, outcome.terminal
    if term.normalise == "bounds":
        width = bounds[1] - bounds[0]
        spans = tuple([Span(span.start, span.end, span.value / width, span.label) for span in spans])
    if term.normalise == "bounds" or term.clip is not None:
        value = _transform(term, bounds, value)
        terminal = value - math.fsum([span.value for span in spans])
    return Cell(
        value, weight, None, False, terminal, spans, outcome.correct, outcome.parts, outcome.feedback, outcome.seconds
    )


def _transform(term: Term, bounds: tuple[float, float], value: float) -> float:
    """Normalise, then clip."""
    if term.normalise == "bounds":
        value = (value - bounds[0]) / (bounds[1] - bounds[0])
    return value if term.clip is None else min(max(value, term.clip[0]), term.clip[1])


def _correct(rubric: BoundRubric, outcomes: Mapping[str, Outcome]) -> bool | None:
    name = str(rubric.correct)
    outcome = outcomes[name]
    if outcome.unscored is not None:
        return None
    if outcome.gated:
        return False
    if outcome.correct is not None:
        return outcome.correct
    return outcome.value >= rubric.bounds[name][1] - _SLACK


def _hold_promise(rubric: BoundRubric, cells: dict[str, Cell]) -> dict[str, Cell]:
    """The floor stands on right completions earning the upper bound; one that does not would fall below wrong ones."""
    name = str(rubric.correct)
    cell, most = cells[name], _transform(rubric.term(name), rubric.bounds[name], rubric.bounds[name][1])
    if cell.value is None or cell.value >= most - _SLACK * max(1.0, abs(most)):
        return cells
    reason = (
        f"{name}: says correct and pays {cell.value:g} of {most:g}; a rubric with cap_wrong needs the upper bound"
        " for every correct completion"
    )
    return {**cells, name: replace(cell, value=None, unscored=reason, terminal=0.0, spans=(), correct=None)}


def _least(rubric: BoundRubric, name: str, weight: float) -> float:
    """The least that a right completion earns from a term."""
    term, (low, high) = rubric.term(name), rubric.bounds[name]
    if name == rubric.correct:
        return weight * _transform(term, (low, high), high)
    can_close, can_open = name in rubric.gates, True
    if can_close and rubric.gates[name].other == rubric.correct and rubric.term(rubric.correct).clip is None:
        can_open = rubric.gates[name].open(rubric.bounds[rubric.correct][1])
        can_close = not can_open
    values = [term.otherwise] if can_close else []
    if can_open:
        values += [_transform(term, (low, high), low), _transform(term, (low, high), high)]
    return min(weight * value for value in values)


def _width(rubric: BoundRubric, name: str) -> float:
    low, high = rubric.bounds[name]
    return _transform(rubric.term(name), (low, high), high) - _transform(rubric.term(name), (low, high), low)


def check_term(name: str, term: Term, bounds: tuple[float, float]) -> None:
    """Raise ``UserError`` on a normalisation, clip or weight without sense."""
    low, high = bounds
    if not low <= high:
        raise UserError(f"reward {name!r}: its bounds [{low}, {high}] are no range")
    if term.normalise == "bounds" and not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"reward {name!r}: normalise: bounds needs finite bounds of some width, these are {bounds}")
    if term.normalise not in ("none", "bounds"):
        raise UserError(f"reward {name!r}: normalise must be 'none' or 'bounds', this is {term.normalise!r}")
    if term.clip is not None and not term.clip[0] <= term.clip[1]:
        raise UserError(f"reward {name!r}: clip [{term.clip[0]}, {term.clip[1]}] must go from the lower to the higher")
    if isinstance(term.weight, Mapping) and not term.weight:
        raise UserError(f"reward {name!r}: the schedule of its weight is empty; write it as {{step: weight}}")
    weights: Iterable[float] = term.weight.values() if isinstance(term.weight, Mapping) else [term.weight]
    if not all(math.isfinite(weight) for weight in weights) or not math.isfinite(term.otherwise):
        raise UserError(f"reward {name!r}: weight and 'otherwise' must be finite numbers")


def _check_cap(rubric: BoundRubric) -> None:
    if rubric.correct is None:
        raise UserError("cap_wrong needs the rubric's 'correct': the reward that decides which completions are wrong")
    if CAP in rubric.terms:
        raise UserError(f"a rubric with cap_wrong cannot have a reward named {CAP!r}; the cap itself is called so")
    for name in rubric.terms:
        ends = [_transform(rubric.term(name), rubric.bounds[name], end) for end in rubric.bounds[name]]
        if not all(math.isfinite(end) for end in ends):
            raise UserError(
                f"cap_wrong needs a finite range of every reward; {name!r} has {rubric.bounds[name]}: clip it"
            )
