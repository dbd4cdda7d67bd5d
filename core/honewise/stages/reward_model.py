"""The ``reward-model`` stage: a model trained on pairs, kept with the scale of its scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from honewise.errors import UserError
from honewise.recipes.preference import RewardModelStage
from honewise.runs.run import StageContext

from .pairs import pairs_of
from .workbench import Workbench

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["check_reward_model_stage", "run_reward_model"]


def check_reward_model_stage(stage: RewardModelStage, ctx: StageContext) -> None:
    """Raise ``UserError`` where the trainer's arguments do not fit the stage."""
    from honewise.engine.reward_model import reward_arguments

    reward_arguments(ctx, stage, stage.steps or 1)


def run_reward_model(bench: Workbench, stage: RewardModelStage, ctx: StageContext) -> None:
    """Train on pairs and keep the model, its folds and the scale of its scores."""
    from honewise.engine.reward_model import as_reward_model, open_trunk, train_reward_model

    pairs = pairs_of(bench, ctx.stage, stage.pairs)
    source = bench.source_of(ctx.stage)

    def trunk() -> tuple[Any, Any]:
        if stage.trunk is not None:
            return open_trunk(stage.trunk, ctx.device, stage.lora, seed=ctx.seed)
        policy = bench.policy(source)
        return as_reward_model(policy, stage.lora, seed=ctx.seed), policy.tokenizer

    trained = train_reward_model(ctx, stage, trunk, pairs, entropy_of=_entropy_of(bench, stage, source))
    wanted = ("held_out/accuracy", "held_out/pairs", "held_out/longer_wins")
    found = {name.removeprefix("held_out/"): trained.metrics[name] for name in wanted if name in trained.metrics}
    facts: dict[str, Any] = {"pairs": len(pairs), "held_out": found}
    if stage.trunk is not None:
        facts["from"] = stage.trunk.path or stage.trunk.hub
    bench.note_stage(ctx, **facts)
    if found:
        ctx.progress.note(
            f"{ctx.stage}: orders {found['accuracy']:.1%} of {found['pairs']:.0f} held-out pairs as they are;"
            f" the longer one is the chosen one in {found['longer_wins']:.1%}"
        )


def _entropy_of(bench: Workbench, stage: RewardModelStage, source: str) -> Policy | None:
    """The policy whose entropy ends segments: the trunk's, as it is before the stage."""
    if stage.segments is None or stage.segments.by != "entropy":
        return None
    if stage.trunk is not None:
        from honewise.models.policy import load_policy
        from honewise.recipes.schema import PolicySpec

        spec = PolicySpec(hub=stage.trunk.hub, path=stage.trunk.path, revision=stage.trunk.revision)
        return load_policy(spec, device=bench.device)
    policy = bench.policy(source)
    if policy.path is None:  # fresh adapters leave the model below them as it is
        policy.path = bench.recipe.policy.path or bench.recipe.policy.hub
    if policy.path is None:
        raise UserError(f"segments: the policy {source!r} stands nowhere")
    return policy
