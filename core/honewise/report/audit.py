"""The audit of a run, from its store: beginning and end of training, and policies measured on the same tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from honewise.checks import Compared, Readers, RunAudited, RunSettings, Sides, Sign, compare, gap_between, gap_sign
from honewise.contracts import Scored
from honewise.errors import UnknownName
from honewise.progress import Progress, Silent
from honewise.recipes.schema import BASE, EvaluateStage, Recipe, RlStage
from honewise.runs.rows import Evaluation, StoredRollout
from honewise.runs.run import Run

__all__ = ["audit_run"]

Groups = list[list["Sampled"]]


@dataclass(frozen=True, slots=True)
class Sampled:
    """A stored completion as audits take it."""

    task_id: str
    scored: Scored


@dataclass(frozen=True, slots=True)
class _Window:
    """Some steps of a stage."""

    name: str
    groups: Groups


def audit_run(
    run: Run,
    settings: RunSettings | None = None,
    *,
    judges: Sequence[str] = (),
    decides: str | None = None,
    verifier: str | None = None,
    readers: Readers | None = None,
    notes: Sequence[str] = (),
    progress: Progress | None = None,
) -> RunAudited:
    """Look for signs that the run's policy learned to be paid, and not what it was to learn.

    Args:
        run: may be going on.
        settings: windows, thresholds and the bootstrap.
        judges: rewards that a judge gives.
        decides: the reward that says what is correct in the run's rubric, where that is known.
        verifier: a reward that says it in place of that one; it may have weight 0.
        readers: what splits and compares texts for diversity.
        notes: goes into the result.
        progress: told how far it is.

    Raises ``UnknownName`` where the run's completions have no such reward.
    """
    settings, told = settings or RunSettings(), progress or Silent()
    reader = _Reader(run, verifier)
    decides = verifier or decides
    reader.check([*judges, *([verifier] if verifier is not None else [])])
    stages = reader.trained()
    pairs = reader.pairs()
    told.start(f"auditing {run.name}", len(stages) + len(pairs))
    compared: list[Compared] = []
    signs: list[Sign] = []
    gaps: dict[str, Mapping[str, object]] = {}
    remarks = [
        *notes,
        *([] if stages or pairs else ["no stage has stored completions of two steps or of two policies"]),
    ]

    def take(sides: Sides) -> None:
        sides = replace(sides, verifier=decides)
        compared.append(compare(sides, settings, judges=judges, readers=readers))
        signs.extend(compared[-1].signs)
        told.advance()

    for stage in stages:
        windows = reader.windows(stage, settings)
        if windows is None:
            remarks.append(f"{stage}: completions of one step alone are stored; there is no beginning and no end")
            told.advance()
            continue
        first, last = windows
        take(Sides(stage, "training", first.groups, last.groups, False, first.name, last.name))
        gap, sign = _generalisation(reader, stage, first, last, settings)
        signs.append(sign)
        if gap:
            gaps[stage] = gap
    for one, other in pairs:
        take(reader.sides(one, other))
    told.done()
    unit = (readers or Readers()).unit
    return RunAudited(run.name, compared, gaps, signs, settings, tuple(judges), unit, tuple(remarks))


def _generalisation(
    reader: _Reader, stage: str, first: _Window, last: _Window, settings: RunSettings
) -> tuple[Mapping[str, object], Sign]:
    spec = reader.recipe.stages[stage]
    temperature = spec.temperature if isinstance(spec, RlStage) else 1.0
    after = reader.measured(stage, temperature)
    if after is None:
        why = f"no evaluation samples {stage} on held-out tasks at temperature {temperature:g}, as training does"
        return {}, gap_sign(stage, None, None, why, settings)
    origin = reader.origin(stage)
    before = reader.measured(origin, temperature)
    start = Sides("", "", reader.groups(before), first.groups) if before is not None else None
    gap, growth = gap_between(reader.groups(after), last.groups, settings, start)
    why = "no reward of the rubric decides what is correct"
    if gap is None:
        return {}, gap_sign(stage, None, None, why, settings)
    told = {
        "training": {"steps": last.name, "correct": gap.after},
        "held_out": {"evaluation": f"{after.stage}: {after.name}", "correct": gap.before},
        "gap": gap.change,
        "low": gap.low,
        "high": gap.high,
        "relative": gap.change / gap.after if gap.after else None,
        "growth": None if growth is None else growth.as_json(),
        "start": None if before is None else f"{before.stage}: {before.name}",
    }
    return told, gap_sign(stage, gap, growth, why, settings)


class _Reader:
    """Completions of the store, by group."""

    def __init__(self, run: Run, verifier: str | None) -> None:
        self.recipe: Recipe = run.recipe
        self._store = run.store
        self._verifier = verifier
        self._evaluations = run.store.evaluations()
        self._read: dict[int, Groups] = {}

    def check(self, names: Sequence[str]) -> None:
        rows = self._store.rollouts(limit=1)
        known = list(dict.fromkeys(name for row in rows for name in row.scored.rewards))
        for name in names:
            if rows and name not in known:
                raise UnknownName("reward of the run", name, known)

    def trained(self) -> list[str]:
        """Stages that sampled completions to train on."""
        return [state.stage for state in self._store.stages() if self._store.sampled(state.stage)]

    def windows(self, stage: str, settings: RunSettings) -> tuple[_Window, _Window] | None:
        """The first and the last steps; None of a single one."""
        sampled = self._store.sampled(stage)
        steps = list(sampled)
        if len(steps) < 2:
            return None
        count = min(max(1, round(settings.window * len(steps))), len(steps) // 2)
        while (
            count > 1 and max(sum(sampled[s] for s in part) for part in (steps[:count], steps[-count:])) > settings.most
        ):
            count -= 1
        return self._window(stage, steps[:count]), self._window(stage, steps[-count:])

    def _window(self, stage: str, steps: Sequence[int]) -> _Window:
        name = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
        found: Groups = []
        for step in steps:
            found += self._grouped(self._store.rollouts(stage, step))
        return _Window(name, found)

    def pairs(self) -> list[tuple[Evaluation, Evaluation]]:
        """Each trained policy that was measured, after the one it was made of, or else the first one measured; sampled
        where both were, else greedy."""
        found = []
        for stage in dict.fromkeys(evaluation.stage for evaluation in self._evaluations):
            here = [e for e in self._evaluations if e.stage == stage and not e.settings.get("control")]
            policies = list(dict.fromkeys(e.of for e in here))
            for of in policies:
                origin = self.origin(of)
                start = origin if origin in policies else policies[0]
                both = [(o, e) for e in here if e.of == of for o in here if o.of == start and _alike(o, e)]
                if of != start and both:
                    found.append(max(both, key=lambda pair: int(pair[1].settings.get("samples") or 1)))
        return found

    def sides(self, before: Evaluation, after: Evaluation) -> Sides:
        """Both on the tasks that they share."""
        ours = {group[0].task_id: group for group in self.groups(before)}
        theirs = {group[0].task_id: group for group in self.groups(after)}
        shared = [task for task in ours if task in theirs]
        one, other = [ours[task] for task in shared], [theirs[task] for task in shared]
        what = f"{after.stage}: {after.name} after {before.name}"
        return Sides(what, "evaluation", one, other, True, before.name, after.name)

    def groups(self, evaluation: Evaluation) -> Groups:
        if evaluation.id not in self._read:
            self._read[evaluation.id] = self._grouped(self._store.rollouts(evaluation=evaluation.id))
        return self._read[evaluation.id]

    def measured(self, of: str, temperature: float) -> Evaluation | None:
        """The last time that a policy was sampled so on held-out tasks."""
        found = [e for e in self._evaluations if e.of == of and e.settings.get("temperature") == temperature]
        return found[-1] if found else None

    def origin(self, stage: str) -> str:
        """Whose policy a stage trains further."""
        names = list(self.recipe.stages)
        if stage not in names:
            return BASE
        spec = self.recipe.stages[stage]
        given = getattr(spec, "from_", None)
        if given is not None:
            return str(given)
        before = names[: names.index(stage)]
        trains = [name for name in before if not isinstance(self.recipe.stages[name], EvaluateStage)]
        return trains[-1] if trains else BASE

    def _grouped(self, rows: Sequence[StoredRollout]) -> Groups:
        found: dict[int, list[Sampled]] = {}
        for row in rows:
            found.setdefault(row.group, []).append(Sampled(row.task_id, self._by_verifier(row.scored)))
        return list(found.values())

    def _by_verifier(self, scored: Scored) -> Scored:
        if self._verifier is None:
            return scored
        cell = scored.rewards.get(self._verifier)
        if cell is None or cell.value is None:
            return replace(scored, correct=None)
        return replace(scored, correct=cell.value >= 1 if cell.correct is None else cell.correct)


def _alike(one: Evaluation, other: Evaluation) -> bool:
    return all(one.settings.get(key) == other.settings.get(key) for key in ("temperature", "top_p", "samples"))
