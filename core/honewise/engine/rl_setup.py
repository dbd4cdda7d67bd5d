"""A recipe's ``rl`` stage as TRL's arguments and honewise's setup, and what of it does not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from honewise.algorithms import Estimator, RatioLevel, check_kl, refusal
from honewise.contracts import Rubric, Task
from honewise.errors import UserError, near
from honewise.models.critic import Critic, make_critic
from honewise.models.policy import Policy
from honewise.recipes.policy_gradient import CriticSpec, ShapingSpec
from honewise.recipes.schema import RlStage
from honewise.runs.run import StageContext
from honewise.scoring import rubrics_of

from .arguments import configure, convert
from .mixture import drawing_of, invariance_of
from .rollouts import domains_of
from .setup import RolloutScores, Setup

__all__ = ["ALGORITHM_DEFAULTS", "make_setup", "refuse", "rl_arguments", "updates"]

ALGORITHM_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "gspo": {
        "importance_sampling_level": "sequence_token",
        "loss_type": "grpo",
        "epsilon": 3e-4,
        "epsilon_high": 4e-4,
    },
}
"""What an algorithm sets of TRL's arguments where the stage's ``trainer`` does not."""


def rl_arguments(ctx: StageContext, stage: RlStage) -> Any:
    """The ``GRPOConfig`` of a stage. What the recipe does not say is TRL's default, except: the loss is ``dr_grpo``
    (the only one under which ``dense-return`` is unbiased), activations are kept on a CPU, and nothing is reported to
    outside services."""
    given = _given(stage)
    if given.get("importance_sampling_level") == "sequence_token":
        given["importance_sampling_level"] = "token"  # the rest of it is ours
    batch = stage.prompts * stage.samples
    on_cpu = ctx.device == "cpu"
    ours: dict[str, Any] = {
        "output_dir": str(ctx.folder),
        "max_steps": stage.steps,
        "num_generations": stage.samples,
        "generation_batch_size": batch,
        **_batches(stage, given, batch, ctx.place.count),
        "temperature": stage.temperature,
        "top_p": stage.top_p,
        "scale_rewards": "none",
        "loss_type": "dr_grpo",
        "seed": ctx.seed,
        "use_cpu": on_cpu,
        "gradient_checkpointing": not on_cpu,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": stage.save_every or max(1, -(-stage.steps // 10)),
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
    }
    if stage.kl is not None:
        ours["beta"] = stage.kl.coef  # for TRL to have a reference; its own term in the loss is left out
    if on_cpu:
        ours |= {"bf16": False, "fp16": False}
        given = {name: value for name, value in given.items() if name not in ("bf16", "fp16", "tf32")}
    return configure("grpo", ours | given)


def _given(stage: RlStage) -> dict[str, Any]:
    """The stage's arguments for TRL, on top of its algorithm's."""
    return {**ALGORITHM_DEFAULTS.get(stage.algorithm, {}), **convert("grpo", stage.trainer)}


def _batches(stage: RlStage, given: dict[str, Any], batch: int, processes: int) -> dict[str, int]:
    """How the completions of a batch are spread over processes, minibatches and passes."""
    what = f"the {batch} completions of a step ({stage.prompts} prompts x {stage.samples} samples)"
    parts = processes * stage.minibatches
    if batch % parts:
        over = f"{processes} processes x {stage.minibatches} minibatches" if processes > 1 else f"{parts} minibatches"
        raise UserError(f"minibatches: {over} do not divide {what}")
    per_device = given.pop("per_device_train_batch_size", None) or batch // parts
    if (batch // parts) % per_device:
        over = f" in {parts} parts" if parts > 1 else ""
        raise UserError(f"per_device_train_batch_size: {per_device} does not divide {what}{over}")
    accumulated = {"gradient_accumulation_steps": batch // parts // per_device}
    return {"per_device_train_batch_size": per_device, **accumulated}


def make_setup(
    ctx: StageContext,
    stage: RlStage,
    tasks: Sequence[Task],
    scorer: RolloutScores,
    estimator: Estimator,
    max_unscored: float,
    *,
    policy: Policy | None = None,
    critic_start: Path | None = None,
    mixture: Mapping[str, float] | None = None,
) -> Setup:
    """Without ``policy``, one that can be checked and not trained. ``mixture`` is each domain's weight, of several."""
    options = dict(stage.estimator_options)
    if "scale" in estimator.options:
        options.setdefault("scale", stage.scale)
    elif stage.scale != "none":
        way = "whitened" in estimator.options and stage.scale in ("batch", "domain")
        other = f", or estimator_options: {{whitened: {stage.scale}}}" if way else ""
        raise UserError(f"scale: estimator {estimator.name!r} cannot scale; set scale: none{other}")
    estimator.check(options)
    if len(tasks) < stage.prompts:
        raise UserError(f"prompts: {stage.prompts} tasks a step, but there are only {len(tasks)} training tasks")
    if any(task.images for task in tasks):
        raise UserError("data.train: these tasks show pictures, and this stage trains policies that read text only")
    ratio: RatioLevel = _given(stage).get("importance_sampling_level", "token")
    critic = (stage.critic or CriticSpec()) if stage.algorithm == "ppo" else None
    setup = Setup(
        tasks=tasks,
        scorer=scorer,
        estimator=estimator,
        options=options,
        placement=stage.placement,
        max_unscored=max_unscored,
        keep=stage.keep,
        note=ctx.progress.note,
        ratio=ratio,
        kl=stage.kl,
        critic=critic,
        new_critic=_critic_maker(policy, critic, 1 + len(stage.constraints), critic_start, ctx.seed),
        shaping=stage.shaping or ShapingSpec(),
        constraints=stage.constraints,
        invariance=invariance_of(stage, tasks, mixture),
        drawing=drawing_of(stage, tasks, mixture, updates=updates(stage)),
        chunks=min(stage.chunks, stage.prompts),
        dynamic=stage.dynamic,
    )
    _check_constraints(setup)
    _check_dynamic(setup)
    if stage.stop is not None:
        allowed = list(_looked_at(scorer.rubric))
        if stage.stop.by not in allowed:
            raise UserError(f"stop.by: no {stage.stop.by!r}{near(stage.stop.by, allowed)}")
    return setup


def _looked_at(rubric: Rubric) -> Iterator[str]:
    """Numbers of a look at held-out tasks that a stage may end by."""
    rubrics = rubrics_of(rubric)
    yield "total"
    if any(each.correct for each in rubrics.values()):
        yield "correct"
    yield from (f"reward/{name}" for name in rubric.terms)
    for name, own in rubrics.items() if domains_of(rubric) else ():
        yield f"domain/{name}/total"
        if own.correct:
            yield f"domain/{name}/correct"


def _critic_maker(
    policy: Policy | None, spec: CriticSpec | None, streams: int, start: Path | None, seed: int
) -> Callable[[], Critic] | None:
    if policy is None or spec is None:
        return None
    return partial(make_critic, policy, spec, streams, start=start, seed=seed)


def updates(stage: RlStage) -> int:
    """Optimizer steps for each batch that is sampled."""
    return stage.minibatches * int(_given(stage).get("num_iterations", 1))


def _check_constraints(setup: Setup) -> None:
    rubric = setup.scorer.rubric
    for name in setup.constraints:
        if name not in rubric.terms:
            raise UserError(f"constraints: no reward {name!r} in the rubric{near(name, rubric.terms)}")
        if rubric.term(name).weight != 0:
            raise UserError(
                f"constraints.{name}: a cost with a threshold is no part of the total; give the reward weight 0 in"
                " the rubric"
            )
        if name in {each.correct for each in rubrics_of(rubric).values()}:
            raise UserError(f"constraints.{name}: this reward says what is correct; constrain another")
    if setup.constraints and "correct" in setup.estimator.needs:
        raise UserError(f"constraints: {setup.estimator.name!r} looks at what is correct, which a cost does not say")


def _check_dynamic(setup: Setup) -> None:
    spec = setup.dynamic
    if spec is None:
        return
    for name, rubric in rubrics_of(setup.scorer.rubric).items():
        if rubric.correct is None:
            whose, where = (f" of {name!r}", f"domains.{name}.") if name else ("", "")
            raise UserError(
                f"dynamic: the rubric{whose} does not say what is correct; name a reward in {where}rubric.correct"
            )
    if spec.low >= spec.high:
        raise UserError(f"dynamic: low must be less than high; given: {spec.low:g} and {spec.high:g}")


def refuse(args: Any, setup: Setup, stage: RlStage, sharding: str = "") -> None:
    """Raise ``UserError`` for combinations that would train on something else than what was asked for.

    ``sharding`` is that of ``honewise.runs.processes.Place``.
    """
    estimator = setup.estimator
    dense = estimator.dense and setup.placement != "terminal"
    reason = refusal(args.loss_type, setup.ratio, dense=dense)
    if reason is not None:
        otherwise = (
            ", or placement: terminal" if dense and refusal(args.loss_type, setup.ratio, dense=False) is None else ""
        )
        raise UserError(
            f"trainer.importance_sampling_level: {setup.ratio!r} with loss_type {args.loss_type!r}: {reason}{otherwise}"
        )
    _refuse_critic(args, setup, stage)
    if setup.critic is not None and sharding:
        raise UserError(f"algorithm: ppo does not train its critic under {sharding}; use plain processes")
    if stage.stop is not None and sharding:
        raise UserError(f"stop: held-out tasks cannot be sampled under {sharding}; add an evaluate stage")
    _refuse_sampling(args, setup, sharding)
    if "ref_logps" in estimator.needs and not args.beta:
        raise UserError(f"estimator: {estimator.name!r} needs a reference policy; say how near to it in `kl`")
    _refuse_kl(args, setup)
    if "weights" in estimator.needs and (setup.shaping.clip is not None or setup.shaping.missing_end):
        raise UserError(f"shaping: {estimator.name!r} gives every reward a size of its own, so these would have none")


def _refuse_critic(args: Any, setup: Setup, stage: RlStage) -> None:
    estimator = setup.estimator
    if setup.critic is not None and "values" not in estimator.needs:
        raise UserError(f"estimator: {estimator.name!r} does not look at the critic of algorithm 'ppo'; use gae")
    if setup.critic is None and "values" in estimator.needs:
        raise UserError(f"estimator: {estimator.name!r} needs a critic; use algorithm: ppo")
    whole = setup.critic is not None or setup.kl is not None
    if whole and args.mask_truncated_completions:
        raise UserError(
            f"trainer.mask_truncated_completions: what is masked has neither values nor a KL, which {stage.algorithm}"
            " with a critic or a KL counts on; use shaping.missing_end"
        )


_OWN_SAMPLING = {
    "use_vllm": False,
    "use_transformers_continuous_batching": False,
    "generation_kwargs": None,
    "top_k": 0,
    "min_p": None,
    "repetition_penalty": 1.0,
    "cache_implementation": None,
}
"""What TRL's arguments must be for honewise to sample itself."""


def _refuse_sampling(args: Any, setup: Setup, sharding: str) -> None:
    """What only our own sampling can do, where TRL samples."""
    changed = [f"trainer.{name}" for name, value in _OWN_SAMPLING.items() if (getattr(args, name) or value) != value]
    why = f"{sharding}, under which TRL samples" if sharding else changed[0] if changed else None
    if why is None:
        return
    if setup.dynamic is not None:
        raise UserError(f"dynamic: groups are replaced while our own sampling goes on; leave it out, or {why}")
    if "greedy" in setup.estimator.needs:
        name = setup.estimator.name
        raise UserError(
            f"estimator: {name!r} samples greedily beside, which only our own sampling can; leave out {why}"
        )
    if setup.chunks > 1:
        raise UserError(f"chunks: only our own sampling goes by parts; leave it out, or {why}")


def _refuse_kl(args: Any, setup: Setup) -> None:
    kl = setup.kl
    if kl is None:
        return
    if args.sync_ref_model:
        raise UserError("trainer.sync_ref_model: a KL to a reference that moves is none to the policy at the start")
    check_kl(kl.where, kl.estimator or ("k1" if kl.where == "reward" else "k3"))
    if kl.where == "reward" and setup.estimator.name == "grpo-process":
        raise UserError("kl: 'grpo-process' would take every token's KL for a step; put it into the loss")
