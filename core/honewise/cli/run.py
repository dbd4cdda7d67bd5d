"""``honewise run``: carry out a recipe, and say at the end what came of it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honewise.errors import BudgetExceeded, JudgeBudgetExceeded, UnscoredBudgetExceeded, UserError
from honewise.progress import Progress, Silent
from honewise.recipes.judging import JudgeSpec, MemberSpec
from honewise.recipes.schema import (
    DpoStage,
    EvaluateStage,
    PairsStage,
    PersonasStage,
    PolicySpec,
    Recipe,
    ReviseStage,
    RewardModelStage,
    RlStage,
    SftStage,
)
from honewise.runs.processes import place

from .terminal import TerminalProgress, note, number, print_table, show

if TYPE_CHECKING:
    from honewise.data import TaskSet
    from honewise.runs.run import Run
    from honewise.stages.workbench import Materials

__all__ = ["attach"]

_STOPPED = {
    KeyboardInterrupt: "interrupted",
    UnscoredBudgetExceeded: "stopped: too much could not be scored",
    JudgeBudgetExceeded: "stopped: the judge has cost what it may",
}
_JUDGED = ("judge/calls", "judge/cost")
ROWS = 10
"""Lines of the table of rewards in one stage."""


def attach(app: typer.Typer) -> None:
    app.command()(run)


def run(
    recipe: Annotated[str, typer.Argument(help="A recipe's file, or DOMAIN/NAME of an installed plugin.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Changes to it: dotted.path=value, as in stages.rl.steps=200.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run of that name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe, print the plan, do nothing.")] = False,
) -> None:
    """Run a recipe: train, evaluate, report.

    Its stages are done in order, each of one kind: sft, pairs, revise, personas,
    dpo, reward-model, rl, evaluate. Every key of them is in
    the schema, honewise recipe --schema.

    All of the recipe is checked before anything begins; --dry-run leaves out what depends on the machine: whether the
    device, the number of processes and their sharding, and optional packages will do, and whether models can be had.

    The run stands in runs/NAME; a finished name gets -2, and nothing is overwritten.
    Ctrl-C saves a checkpoint; --resume goes on from it as if nothing had happened.

    Under accelerate launch or torchrun, several processes do the run together and the first one speaks.
    """
    from honewise.models.threads import share_cores

    share_cores()
    from honewise.stages.checking import check_plan
    from honewise.stages.runner import execute, resolve

    changes, first = overrides or [], place().first
    progress: Progress = RewardTable(TerminalProgress()) if first else Silent()
    materials = resolve(recipe, changes, progress=progress)
    if dry_run:
        check_plan(materials, progress)
        if first:
            _plan(materials)
        return
    command = shlex.join(["honewise", "run", recipe, *changes])
    try:
        finished = execute(materials, resume=resume, progress=progress, command=command)
    except (KeyboardInterrupt, BudgetExceeded) as stop:
        progress.done()
        if first:
            note(f"{_STOPPED[type(stop)]}. To go on from the last checkpoint:\n  {command} --resume")
        raise
    except UserError:
        raise
    except Exception:
        progress.done()
        if first:
            note(f"failed. Once the cause is gone, this goes on from the last checkpoint:\n  {command} --resume")
        raise
    with finished:
        if first:
            _summary(finished)


class RewardTable:
    """Progress with a compact table: now and then a line with each reward's mean over the step."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._every, self._count, self._said = 1, 0, -1
        self._columns: list[str] = []

    def start(self, what: str, total: int | None = None) -> None:
        self._every, self._count, self._said, self._columns = max(1, (total or ROWS * 10) // ROWS), 0, -1, []
        self._progress.start(what, total)

    def advance(self, count: int = 1, **numbers: float) -> None:
        self._count += count
        shown = {n.replace("/", " "): value for n, value in numbers.items() if "/" not in n or n in _JUDGED}
        self._progress.advance(count, **shown)
        columns = _columns(numbers)
        if columns and self._count // self._every != self._said:
            self._said = self._count // self._every
            self._line(columns)

    def note(self, line: str) -> None:
        self._progress.note(line)

    def done(self) -> None:
        self._progress.done()

    def _line(self, values: Mapping[str, float]) -> None:
        if list(values) != self._columns:
            self._columns = list(values)
            self._progress.note("  ".join(["  step", *(name.rjust(6) for name in values)]))
        cells = [number(value).rjust(max(6, len(name))) for name, value in values.items()]
        self._progress.note("  ".join([f"{self._count:6d}", *cells]))


def _columns(numbers: Mapping[str, float]) -> dict[str, float]:
    """What a line of the table shows: of completions their rewards, of pairs how well they are told apart."""
    if "rewards/margins" in numbers:
        numbers = {
            **numbers,
            "margin": numbers["rewards/margins"],
            "accuracy": numbers.get("rewards/accuracies", math.nan),
        }
    if "margin" in numbers and "accuracy" in numbers:
        return {name: numbers.get(name, math.nan) for name in ("loss", "margin", "accuracy")}
    means = {name: value for name, value in numbers.items() if name.startswith("rewards/")}
    rewards = {name.removeprefix("rewards/").removesuffix("/mean"): value for name, value in means.items()}
    return {"total": numbers.get("reward", math.nan), **rewards} if rewards else {}


def _plan(materials: Materials) -> None:
    recipe, rubric = materials.recipe, materials.scorer.rubric
    show(f"{recipe.name}: a run in {recipe.runs_dir}/, nothing has been done yet")
    rows = [
        *_domains(recipe),
        ("train", _data(materials.train)),
        ("held out", _data(materials.held_out)),
        ("policy", _policy(recipe.policy)),
        ("judge", _judge(recipe.judge)),
        ("device", recipe.device),
        ("seed", str(recipe.seed)),
    ]
    print_table(("", ""), rows)
    show()
    terms = [(name, _weight(rubric.term(name).weight), rubric.term(name).when or "") for name in rubric.terms]
    print_table(("reward", "weight", "when"), terms)
    show()
    print_table(("stage", "kind", "what"), [(name, s.stage, _what(recipe, name)) for name, s in recipe.stages.items()])


def _domains(recipe: Recipe) -> list[tuple[str, str]]:
    works = recipe.works
    if recipe.domains is None:
        return [("domain", f"{works[''].use} {_options(works[''].options)}".strip())]
    whole = math.fsum(work.weight for work in works.values())
    return [
        (f"domain {name}", f"{work.weight / whole:.0%} of the tasks drawn: {work.use} {_options(work.options)}".strip())
        for name, work in works.items()
    ]


def _data(tasks: TaskSet) -> str:
    return f"{len(tasks)} tasks from {tasks.source}, read as {tasks.format}"


def _what(recipe: Recipe, name: str) -> str:
    stage = recipe.stages[name]
    if isinstance(stage, SftStage):
        shown = "all demonstrations" if stage.demonstrations is None else f"{stage.demonstrations} demonstrations"
        if stage.on != "gold":
            author = stage.of or "the last policy"
            stored = isinstance(recipe.stages.get(author), PairsStage | PersonasStage)
            best = f"the best of {author}" if stored else f"the best of {stage.n or 8} of {author}"
            shown = {"best": best, "above": _above(stage, author, stored)}.get(stage.on, f"answers of {author}")
        length = [f"{stage.steps} steps"] if stage.steps else []
        if stage.seconds is not None:
            length.append(stage.seconds if isinstance(stage.seconds, str) else f"{stage.seconds:g} s")
        text = f"{shown}, {', at most '.join(length)} of {stage.batch}"
    elif isinstance(stage, RlStage):
        text = f"{stage.algorithm}, {stage.estimator}, {stage.steps} steps of {stage.prompts} prompts x {stage.samples}"
    elif isinstance(stage, EvaluateStage):
        return _measured(stage)
    elif isinstance(stage, PairsStage):
        return _paired(stage)
    elif isinstance(stage, PersonasStage):
        who = stage.personas if isinstance(stage.personas, str) else f"{len(stage.personas)} personas"
        return f"{stage.count} tasks by {who}, the best of {stage.samples} of {stage.of or 'the judge'}"
    elif isinstance(stage, ReviseStage):
        return f"{stage.of or 'the last policy'}: {stage.rounds} rounds by {stage.constitution}"
    else:
        text = _on_pairs(stage)
    options = _options(stage.trainer)
    return ", ".join(part for part in (text, f"from {stage.from_}" if stage.from_ else "", options) if part)


def _above(stage: SftStage, author: str, stored: bool) -> str:
    least = stage.least if isinstance(stage.least, list) else [stage.least]
    levels = ", then ".join(f"{each:g}" for each in least if each is not None)
    return f"those of {author if stored else f'{stage.n or 8} of {author}'} from {levels} on"


def _paired(stage: PairsStage) -> str:
    sources = [next(f"{key} {value}" for key, value in source.model_dump(exclude_none=True).items())
               for source in stage.sources.values()] or ["the last policy"]  # fmt: skip
    sampled = f"{stage.samples} samples at {stage.temperature:g}, " if _samples(stage) else ""
    return f"{', '.join(sources)}: {sampled}{stage.rule} by {stage.by}"


def _samples(stage: PairsStage) -> bool:
    return not stage.sources or any(source.policy is not None for source in stage.sources.values())


def _on_pairs(stage: DpoStage | RewardModelStage) -> str:
    """A stage that learns from pairs."""
    if isinstance(stage, RewardModelStage):
        what: str = stage.loss
    else:
        what = "+".join(stage.losses) + f", beta {stage.beta:g}"
        if stage.rounds is not None:
            return f"{what}, {stage.rounds.count} rounds of {stage.steps} steps of {stage.batch} pairs of its own"
    seconds = getattr(stage, "seconds", None)
    epochs = stage.epochs or 1
    length = f"{stage.steps} steps" if stage.steps else f"{epochs:g} epoch{'s' if epochs != 1 else ''}"
    if seconds is not None and not stage.steps:
        length = seconds if isinstance(seconds, str) else f"{seconds:g} s"
    return f"{what}, {length} of {stage.batch} pairs" + (f" of {stage.pairs}" if stage.pairs else "")


def _measured(stage: EvaluateStage) -> str:
    of = ", ".join(stage.of) if stage.of else "every policy"
    sampled = f", and {stage.samples} samples at {stage.temperature:g}" if stage.samples else ""
    controls = "".join(
        f"; control: {each.of} at {each.temperature:g}"
        + (f", best of {each.best_of} by {each.by}" if each.best_of else "")
        for each in stage.controls
    )
    return f"{of}: greedy{sampled}{controls}"


def _options(values: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _weight(weight: float | Mapping[int, float]) -> str:
    if isinstance(weight, Mapping):
        return ", ".join(f"{value:g} from step {step}" for step, value in sorted(weight.items()))
    return f"{weight:g}"


def _judge(spec: JudgeSpec | None) -> str:
    if spec is None:
        return "none"
    who = _member(spec)
    if spec.panel is not None:
        members = ", ".join(f"{name} ({_member(member)})" for name, member in spec.panel.items())
        who = f"{members}; by {spec.vote.rule}, rankings by {spec.vote.ranking}"
    limits = [f"{value:g} {name}" for name, value in spec.budget.model_dump(exclude_none=True).items()]
    return who + (f", at most {' and '.join(limits)}" if limits else "")


def _member(spec: MemberSpec) -> str:
    local = "" if spec.local is None else str(spec.local.path or spec.local.hub)
    return f"{spec.model} at {spec.url}" if spec.url else local or "the policy with its adapter off"


def _policy(spec: PolicySpec) -> str:
    if spec.tiny is not None:
        tiny = spec.tiny
        text = f"tiny: {tiny.layers} layers of width {tiny.width}, vocabulary {tiny.vocabulary}"
    else:
        text = str(spec.hub or spec.path)
    return text + (f", LoRA of rank {spec.lora.r}" if spec.lora else "")


def _summary(run: Run) -> None:
    from honewise.runs.summary import comparisons, domains, results

    measured: Sequence[str] = [state.stage for state in run.store.stages() if run.store.evaluations(state.stage)]
    for stage in measured:
        table = results(run.store, stage)
        show()
        print_table(table.columns, table.rows, title=f"{stage}: on held-out tasks")
        for more in (domains(run.store, stage), comparisons(run.store, stage)):
            if more.rows:
                show()
                print_table(more.columns, more.rows)
    spent = run.store.judge_spent()
    if spent.calls:
        cost = f", cost {spent.cost:.4g}" if spent.cost else ""
        show(f"\njudge:  {spent.calls} calls, {spent.tokens} tokens{cost}")
    _report(run)


def _report(run: Run) -> None:
    from honewise import report

    page = report.end(run, TerminalProgress())
    show()
    show(f"report: {page}")
    show(f"card:   {run.path / 'card.md'}")
