"""``card.md``: what was done in a run, and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from . import manifest
from .disclosure import Field, dropped_rewards, fields, judge_name, policy_name
from .preferences import sentences
from .run import Run
from .summary import comparisons, domains, results

__all__ = ["NOT_DONE", "write"]

NOT_DONE = "**not done**"


def write(run: Run) -> None:
    """Write ``card.md`` from the store, the recipe, the manifest and the audits kept with the run."""
    manifest.write_whole(run.path / "card.md", "\n".join(_lines(run)) + "\n")


def _lines(run: Run) -> Iterator[str]:
    facts, recipe = manifest.read(run.path), run.recipe
    yield f"# {run.name}"
    yield ""
    policy, device = policy_name(recipe.policy), facts.get("device")
    uses = ", ".join(f"`{name}` ({work.use})" if name else f"`{work.use}`" for name, work in recipe.works.items())
    yield f"{'Domains' if recipe.domains else 'Domain'} {uses}, policy {policy}, seed {recipe.seed}, on {device}."
    for part, found in facts.get("data", {}).items():
        yield f"- {part}: {found['tasks']} tasks from {found['source']} (read as {found['format']})"
    for file, digests in facts.get("reward_files", {}).items():
        said = ", ".join(f"`{digest[:12]}`" for digest in digests)
        how = (
            f"**changed while the run was interrupted**; SHA-256, in order: {said}"
            if digests[1:]
            else f"SHA-256 {said}"
        )
        yield f"- rewards from {file}: {how}"
    yield ""
    yield "## What was done"
    yield ""
    for state in run.store.stages():
        steps = f", {state.steps} steps" if state.steps else ""
        why = f": {state.reason.splitlines()[0]}" if state.reason else ""
        yield f"- {state.stage} ({state.kind}): {state.state} after {state.seconds:.0f} s{steps}{why}"
    spent = run.store.judge_spent()
    if spent.calls:
        cost = f", cost {spent.cost:.4g}" if spent.cost else ""
        yield f"- judge, {judge_name(recipe.judge)}: {spent.calls} calls, {spent.tokens} tokens{cost}"
    yield from _panel(facts.get("panel", []))
    for sentence in sentences(run.store):
        yield f"- {sentence}"
    for stage in run.store.stages():
        if stage.kind == "evaluate" and run.store.evaluations(stage.stage):
            yield from _tables(run, stage.stage)
    told = fields(run)
    yield from _disclosed(told)
    yield ""
    yield "## What was not"
    yield ""
    yield from _missing(run)
    undone = [field.name for field in told if not field.said]
    if undone:
        yield f"- Not done, of the fields above: {', '.join(undone)}."


def _disclosed(told: Sequence[Field]) -> Iterator[str]:
    yield from ["", "## Disclosure", "", "Each field is filled, or says that it was not done."]
    for section, found in groupby(told, key=lambda field: field.section):
        yield from ["", f"### {section}", ""]
        rows: list[tuple[str, ...]] = [(field.name, field.said or _undone(field.how)) for field in found]
        yield from _markdown(("field", "what"), rows)


def _undone(how: str) -> str:
    return f"{NOT_DONE}: {how}" if how else NOT_DONE


def _panel(goes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How several judges got on with one another, each time that the run was begun or resumed."""
    for each in goes:
        apart = ", ".join(f"{name} {value:.3g}" for name, value in each["apart"].items())
        failed = {name: count for name, count in each["failed"].items() if count}
        silent = f"; without an answer: {', '.join(f'{n} {count}' for n, count in failed.items())}" if failed else ""
        yield (
            f"- panel: {each['decided']} of {each['questions']} questions decided; two judges differ by"
            f" {each['disagreement']:.3g} on average, each from the others by {apart}; majorities ran in a circle"
            f" {each['cycles']} times{silent}"
        )


def _tables(run: Run, stage: str) -> Iterator[str]:
    table = results(run.store, stage)
    yield from ["", f"## {stage}", "", *_markdown(table.columns, table.rows)]
    for more in (domains(run.store, stage), comparisons(run.store, stage)):
        if more.rows:
            yield from ["", *_markdown(more.columns, more.rows)]


def _missing(run: Run) -> Iterator[str]:
    recipe = run.recipe
    if recipe.policy.tiny is not None:
        yield "- The policy is a tiny model built from nothing. It proves the machinery; it is not a result."
    yield "- One seed. The intervals hold for other tasks of this kind, not for other seeds."
    begun = {state.stage for state in run.store.stages()}
    for name in recipe.stages:
        if name not in begun:
            yield f"- Stage {name} was not begun."
    for evaluation in run.store.evaluations():
        scored, count = evaluation.settings.get("scored"), evaluation.settings.get("completions")
        if scored != count:
            yield f"- {evaluation.name}: {scored} of {count} completions could be scored; means are over those."
    dropped = dropped_rewards(recipe)
    if dropped:
        yield f"- Rewards dropped by the recipe: {', '.join(dropped)}."


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(map(_cell, row)) + " |"


def _cell(text: str) -> str:
    """One line of a table, whatever a data set or a plugin called its things."""
    return " ".join(text.split()).replace("<", "&lt;").replace("|", "\\|")
