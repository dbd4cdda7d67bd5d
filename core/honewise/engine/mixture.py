"""Which tasks a stage of ``rl`` may meet, as its recipe says: by domain, by kind, the easy ones first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from honewise.contracts import Task
from honewise.errors import UserError, near
from honewise.recipes.policy_gradient import OrderSpec
from honewise.recipes.schema import RlStage
from honewise.scoring import domain_of

from .order import Drawing
from .setup import Invariance

__all__ = ["drawing_of", "invariance_of"]

DOMAIN = "domain"
"""The column that every task has in a run of several domains, where it has no other of that name."""

Mixture = Mapping[str, float] | None


def invariance_of(stage: RlStage, tasks: Sequence[Task], mixture: Mixture) -> Invariance | None:
    """The groups that are to fare alike. Raises ``UserError`` where a task has none, or all have one."""
    if stage.invariance is None:
        return None
    column = stage.invariance.column
    _known_to_some(tasks, column, "invariance.column", mixture)
    groups = [_said(task, column, "invariance.column", mixture) for task in tasks]
    if len(set(groups)) < 2:
        raise UserError(f"invariance.column: {column!r} is {groups[0]!r} for every task, so there is but one group")
    return Invariance(tuple(groups), stage.invariance.coef)


def drawing_of(stage: RlStage, tasks: Sequence[Task], mixture: Mixture, *, updates: int) -> Drawing | None:
    """Which tasks each step draws; None where every task comes once an epoch. ``updates`` are those of a batch.

    ``mixture`` is the weight of each domain in a run of several: a step then holds every domain in its share, and a
    curriculum goes on within each. Raises ``UserError`` on columns that are not there and shares that cannot be had.
    """
    spec = stage.order
    if spec is None and mixture is None:
        return None
    if spec is not None and spec.easy_first is None and spec.kind is None:
        raise UserError("order: name a column in easy_first, in kind, or in both")
    spec = spec or OrderSpec()
    hard = None if spec.easy_first is None else _column(tasks, spec.easy_first, "order.easy_first", mixture)
    kinds = None if spec.kind is None else _column(tasks, spec.kind, "order.kind", mixture)
    drawing = Drawing(
        hardness=None if hard is None else _hardness(spec, hard),
        start=spec.start,
        until=math.ceil((stage.steps / 2 if spec.until is None else spec.until) / updates),
        weights=None if kinds is None else _weights(spec, kinds, _domains(tasks, mixture)),
        parts=None if mixture is None else [list(mixture).index(domain_of(task)) for task in tasks],
        shares=() if mixture is None else [weight / math.fsum(mixture.values()) for weight in mixture.values()],
    )
    if mixture is not None:
        _enough(drawing, stage.prompts, mixture)
    return drawing


def _enough(drawing: Drawing, prompts: int, mixture: Mapping[str, float]) -> None:
    there = Counter(drawing.parts)
    for part, (name, most) in enumerate(zip(mixture, drawing.most(prompts), strict=True)):
        if there[part] < most:
            raise UserError(
                f"domains.{name}.weight: up to {most} of the {prompts} prompts of a step are of this domain, which has"
                f" {there[part]} training tasks"
            )


def _domains(tasks: Sequence[Task], mixture: Mixture) -> list[str]:
    return ["" if mixture is None else domain_of(task) for task in tasks]


def _holds(task: Task, column: str) -> bool:
    return column in task.meta or column in task.inputs


def _said(task: Task, column: str, path: str, mixture: Mixture) -> str:
    """What a task says under ``column``, in its ``meta`` or else in its inputs."""
    if _holds(task, column):
        return str((task.meta if column in task.meta else task.inputs)[column])
    if column == DOMAIN and mixture is not None:
        return domain_of(task)
    raise UserError(f"{path}: task {task.id!r} has no {column!r}{near(column, _columns([task], mixture))}")


def _columns(tasks: Sequence[Task], mixture: Mixture) -> set[str]:
    return {name for task in tasks for name in (*task.meta, *task.inputs)} | (set() if mixture is None else {DOMAIN})


def _known_to_some(tasks: Sequence[Task], column: str, path: str, mixture: Mixture) -> None:
    """Raise ``UserError`` where no task of any domain has the column: to name one of them would blame that one."""
    known = _columns(tasks, mixture)
    if tasks and column not in known:
        raise UserError(f"{path}: no task has {column!r}{near(column, known)}")


def _column(tasks: Sequence[Task], column: str, path: str, mixture: Mixture) -> list[str | None]:
    """The same for each task; None for those of a domain in which no task has the column, of several domains."""
    _known_to_some(tasks, column, path, mixture)
    domains = _domains(tasks, mixture)
    having = {domain for domain, task in zip(domains, tasks, strict=True) if _holds(task, column)}
    without = set(domains) - having if having and mixture is not None else set()
    return [
        None if domain in without else _said(task, column, path, mixture)
        for domain, task in zip(domains, tasks, strict=True)
    ]


def _hardness(spec: OrderSpec, said: Sequence[str | None]) -> list[float]:
    if spec.ranks:
        for word in said:
            if word is not None and word not in spec.ranks:
                raise UserError(
                    f"order.ranks: {word!r} of {spec.easy_first!r} is not among them{near(word, spec.ranks)}"
                )
        return [0.0 if word is None else float(spec.ranks.index(word)) for word in said]
    numbers = []
    for word in said:
        try:
            numbers.append(0.0 if word is None else float(word))
        except ValueError:
            numbers.append(math.nan)
        if not math.isfinite(numbers[-1]):
            raise UserError(
                f"order.easy_first: {spec.easy_first!r} holds {word!r}, no number; list its words in order.ranks"
            )
    return numbers


def _weights(spec: OrderSpec, said: Sequence[str | None], domains: Sequence[str]) -> list[float]:
    """Each task's weight: its kind's, shared among the tasks of that kind (in its domain)."""
    counts = Counter(zip(domains, said, strict=True))
    kinds = list(dict.fromkeys(kind for kind in said if kind is not None))
    for kind in kinds:
        if kind not in spec.weights:
            raise UserError(f"order.weights: say one for {kind!r} of {spec.kind!r}{near(kind, spec.weights)}")
    for kind in spec.weights:
        if kind not in kinds:
            raise UserError(f"order.weights: no task has {spec.kind!r} {kind!r}{near(kind, kinds)}")
    return [
        (1.0 if kind is None else spec.weights[kind]) / counts[domain, kind]
        for domain, kind in zip(domains, said, strict=True)
    ]
