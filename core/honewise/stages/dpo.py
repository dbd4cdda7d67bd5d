"""The ``dpo`` stage: a policy trained on pairs, made before or on the way."""

from __future__ import annotations

from honewise.recipes.preference import DpoStage
from honewise.runs.run import StageContext

from .judging import lent
from .pairs import draw_of, pairs_of, provenance_of, rule_of
from .sft import seconds_of
from .workbench import Workbench, rl_tasks

__all__ = ["check_dpo_stage", "run_dpo"]


def check_dpo_stage(stage: DpoStage, ctx: StageContext) -> None:
    """Raise ``UserError`` where arguments and losses do not fit together."""
    from honewise.engine.dpo import dpo_arguments

    dpo_arguments(ctx, stage, stage.steps or 1)


def run_dpo(bench: Workbench, stage: DpoStage, ctx: StageContext) -> None:
    """Train on pairs and keep the policy."""
    policy = bench.policy(bench.source_of(ctx.stage))
    if stage.rounds is None:
        from honewise.engine.dpo import train_dpo

        pairs = pairs_of(bench, ctx.stage, stage.pairs)
        trained = train_dpo(ctx, stage, policy, pairs, seconds=seconds_of(stage, ctx))
        facts: dict[str, object] = {"pairs": len(pairs), "reference": trained.reference}
    else:
        from honewise.engine.rounds import Rounds, train_rounds

        rounds = Rounds(
            ctx=ctx,
            stage=stage,
            tasks=rl_tasks(bench.materials),
            scorer=bench.scorer,
            draw=draw_of(bench, stage.rounds, ctx),
            rule=rule_of(stage.rounds),
            provenance=provenance_of(bench),
            max_unscored=bench.recipe.rubric.max_unscored,
        )
        with lent(bench.judge, policy):
            trained = train_rounds(rounds, policy)
        facts = {
            "rounds": stage.rounds.count,
            "reference": trained.reference,
            "moved": stage.rounds.reference == "moved",
        }
    bench.keep_policy(policy, ctx.stage)
    bench.note_stage(ctx, **facts)
