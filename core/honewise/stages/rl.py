"""The ``rl`` stage: a policy trained on what its own completions earn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from honewise.progress import Silent
from honewise.recipes.schema import RewardModelStage, RlStage
from honewise.runs.run import StageContext, stage_seed

from .judging import lent
from .measure import Sampling, measure
from .model_rewards import MODEL_FOLDER
from .workbench import Materials, Workbench, rl_tasks

if TYPE_CHECKING:
    from honewise.engine.held_out import Look
    from honewise.models.policy import Policy

__all__ = ["check_rl_stage", "run_rl"]


def check_rl_stage(materials: Materials, stage: RlStage, ctx: StageContext) -> None:
    """Raise ``UserError`` where arguments, estimator and placement do not fit together."""
    from honewise.engine.rl import check_rl

    estimator, mixture = materials.host.estimator(stage.estimator), materials.recipe.mixture
    check_rl(ctx, stage, rl_tasks(materials), materials.scorer, estimator, mixture)


def run_rl(bench: Workbench, stage: RlStage, ctx: StageContext) -> None:
    """Train on the training tasks without demonstrations and keep the policy."""
    from honewise.engine.rl import train_rl

    estimator = bench.materials.host.estimator(stage.estimator)
    policy = bench.policy(bench.source_of(ctx.stage))
    limit = bench.recipe.rubric.max_unscored
    start = _critic_start(bench, stage)
    tasks = rl_tasks(bench.materials)
    look = _look(bench, stage, ctx, policy)
    with lent(bench.judge, policy):
        trained = train_rl(
            ctx, stage, policy, tasks, bench.scorer, estimator, max_unscored=limit, critic_start=start, look=look,
            mixture=bench.recipe.mixture,
        )  # fmt: skip
    bench.keep_policy(policy, ctx.stage)
    bench.note_stage(ctx, reference=trained.reference)


def _look(bench: Workbench, stage: RlStage, ctx: StageContext, policy: Policy) -> Callable[[int], Look] | None:
    """Measures the policy on held-out tasks, where the stage is to end by them."""
    spec = stage.stop
    if spec is None:
        return None
    from honewise.engine.held_out import Look

    tasks = list(bench.materials.held_out)[: spec.limit]
    longest = int(stage.trainer.get("max_completion_length", 256))

    def look(step: int) -> Look:
        seed = stage_seed(ctx.seed, f"look {step}")
        how = Sampling(spec.temperature, spec.samples, stage.top_p, longest, seed=seed)
        found = measure(policy, tasks, bench.scorer, how, Silent(), "held-out", ctx.place)
        return Look(found.numbers, found.calls)

    return look


def _critic_start(bench: Workbench, stage: RlStage) -> Path | None:
    """The reward model that a critic starts from, where the stage names one."""
    if stage.critic is None or stage.critic.init == "policy":
        return None
    if isinstance(bench.recipe.stages.get(stage.critic.init), RewardModelStage):
        return bench.run.stage_folder(stage.critic.init) / MODEL_FOLDER
    return Path(stage.critic.init)
