"""``card.md``: what was done in a run, and what was not."""

from __future__ import annotations

from collections.abc import Iterator

from honewise.recipes.judging import JudgeSpec, MemberSpec
from honewise.recipes.schema import PolicySpec

from . import manifest
from .preferences import sentences
from .run import Run
from .summary import comparisons, results

__all__ = ["write"]


def write(run: Run) -> None:
    """Write ``card.md`` from the store, the recipe and the manifest."""
    manifest.write_whole(run.path / "card.md", "\n".join(_lines(run)) + "\n")


def _lines(run: Run) -> Iterator[str]:
    facts, recipe = manifest.read(run.path), run.recipe
    yield f"# {run.name}"
    yield ""
    policy, device = _policy(recipe.policy), facts.get("device")
    yield f"Domain `{recipe.domain.use}`, policy {policy}, seed {recipe.seed}, on {device}."
    for part, found in facts.get("data", {}).items():
        yield f"- {part}: {found['tasks']} tasks from {found['source']} (read as {found['format']})"
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
        yield f"- judge{_judge(recipe.judge)}: {spent.calls} calls, {spent.tokens} tokens{cost}"
    for sentence in sentences(run.store):
        yield f"- {sentence}"
    for stage in run.store.stages():
        if stage.kind == "evaluate" and run.store.evaluations(stage.stage):
            yield from _tables(run, stage.stage)
    yield ""
    yield "## What was not"
    yield ""
    yield from _missing(run)


def _tables(run: Run, stage: str) -> Iterator[str]:
    table = results(run.store, stage)
    yield from ["", f"## {stage}", "", *_markdown(table.columns, table.rows)]
    pairs = comparisons(run.store, stage)
    if pairs.rows:
        yield from ["", *_markdown(pairs.columns, pairs.rows)]


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
    dropped = [name for name, spec in recipe.rubric.rewards.items() if spec is None]
    if dropped:
        yield f"- Rewards dropped by the recipe: {', '.join(dropped)}."


def _judge(spec: JudgeSpec | None) -> str:
    if spec is not None and spec.panel is not None:
        members = ", ".join(f"{name}{_member(member)}" for name, member in spec.panel.items())
        return f"s {members}, by {spec.vote.rule} (rankings by {spec.vote.ranking})"
    return _member(spec)


def _member(spec: MemberSpec | None) -> str:
    local = spec.local if spec is not None else None
    name = (spec.model if spec is not None else None) or (local and (local.path or local.hub))
    return f" `{name}`" if name else ", the policy with its adapter off"


def _policy(spec: PolicySpec) -> str:
    if spec.tiny is not None:
        text = f"tiny ({spec.tiny.layers} layers of width {spec.tiny.width})"
    else:
        text = f"`{spec.hub or spec.path}`"
    return text + (f" with LoRA of rank {spec.lora.r}" if spec.lora else "")


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
