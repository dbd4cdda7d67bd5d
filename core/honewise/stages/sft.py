"""The ``sft`` stage: a policy shown the gold completions of some training tasks."""

from __future__ import annotations

from honewise.errors import RunError
from honewise.recipes.schema import DpoStage, SftStage
from honewise.runs.run import StageContext

from .workbench import Workbench, demonstrations
from .written import Shown, written

__all__ = ["check_sft_stage", "run_sft", "seconds_of"]


def check_sft_stage(stage: SftStage, ctx: StageContext) -> None:
    """Raise ``UserError`` where the trainer's arguments do not fit the stage."""
    from honewise.engine.sft import sft_arguments

    sft_arguments(ctx, stage)


def run_sft(bench: Workbench, stage: SftStage, ctx: StageContext) -> None:
    """Train on gold completions, or on what a model wrote, and keep the policy."""
    from honewise.engine.sft import train_sft

    if stage.on == "gold":
        shown = Shown(demonstrations(bench.materials, stage.demonstrations))
    else:
        shown = written(bench, stage, ctx)
    policy = bench.policy(bench.source_of(ctx.stage))
    whole = stage.model_copy(update={"steps": stage.steps and stage.steps * shown.phases})
    train_sft(ctx, whole, policy, shown.pairs, seconds=seconds_of(stage, ctx), after=shown.after, levels=shown.levels)
    bench.keep_policy(policy, ctx.stage)
    facts = {} if stage.on == "gold" else {"on": stage.on, "of": stage.of or bench.source_of(ctx.stage)}
    bench.note_stage(ctx, demonstrations=len(shown.pairs), **facts)


def seconds_of(stage: SftStage | DpoStage, ctx: StageContext) -> float | None:
    """The stage's budget: its own number, or what the stage named in ``as STAGE`` took."""
    if not isinstance(stage.seconds, str):
        return stage.seconds
    other = stage.seconds.removeprefix("as ").strip()
    state = ctx.store.stage(other)
    if state is None or state.state != "done":
        raise RunError(f"stages.{ctx.stage}.seconds: stage {other!r} is not finished, so how long it took is not known")
    return state.seconds
