"""What an ``rl`` stage says about its algorithm: the critic, the KL, the shaping of rewards, constraints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from .sections import Count, Positive, Section

__all__ = [
    "ALGORITHMS",
    "ConstraintSpec",
    "CriticSpec",
    "DynamicSpec",
    "InvarianceSpec",
    "KlSpec",
    "OrderSpec",
    "ShapingSpec",
    "StopSpec",
    "algorithm_of",
    "with_estimator",
]

Above = Annotated[float, Field(gt=0)]

ALGORITHMS: Mapping[str, str] = {
    "grpo": "dense-return",
    "ppo": "gae",
    "gspo": "dense-return",
    "rloo": "rloo",
    "dr-grpo": "dr-grpo",
    "remax": "remax",
    "reinforce++": "reinforce++",
}
"""Each algorithm with its estimator. The first three take others, too; the rest are called after the one they are."""

FREE = ("grpo", "ppo", "gspo")
"""Algorithms whose estimator is a choice."""


def algorithm_of(stage: Mapping[str, Any]) -> str:
    """The algorithm of a stage as read, where it is one."""
    named = stage.get("algorithm", "grpo")
    return named if isinstance(named, str) and named in ALGORITHMS else "grpo"


def with_estimator(stage: Any) -> Any:
    """A stage as read, with its algorithm's estimator where it names none."""
    if not isinstance(stage, Mapping) or stage.get("estimator") is not None:
        return stage
    return {**stage, "estimator": ALGORITHMS[algorithm_of(stage)]}


class CriticSpec(Section):
    """The critic of `ppo`: what predicts how much a completion will still earn."""

    kind: Literal["head", "trunk"] = "head"
    """A value `head` on the policy's own trunk, or a `trunk` of its own, which costs the memory of a second model."""
    init: str = "policy"
    """What a `trunk` starts from: the `policy`, or a reward model: the stage that trained it, or its folder (looked up
    beside the recipe, then in the working directory). A head always starts at 0."""
    learning_rate: Above | None = None
    """Of the critic's own weights; left out, the policy's. It follows the policy's schedule."""
    max_grad_norm: Above = 1.0
    """The critic's gradient is clipped to this norm, apart from the policy's."""
    coef: Above = 0.5
    """Weight of the value loss beside the policy's. Matters where they share a trunk."""
    clip: Above | None = 0.2
    """A value may move so far from where it was when the completion was sampled; `null` does not limit it."""
    detach: bool = False
    """The value loss trains the head alone, and leaves the trunk to the policy. For `kind: head`."""
    scaled: bool = True
    """It predicts how far a return is from the mean of the first batch's, in their standard deviations. Not for a trunk
    that starts from a reward model, which has a scale."""
    warmup: Count = 0
    """Updates at the beginning in which the critic's own weights learn and the policy's stay as they are. A critic that
    knows nothing yet takes every token after the rewards for a bad one."""


class KlSpec(Section):
    """A charge for going away from the policy that the stage began with."""

    coef: Above
    """Reward, or loss, for each nat."""
    where: Literal["reward", "loss"] = "reward"
    """Taken from each token's reward, or added to the loss."""
    estimator: Literal["k1", "k2", "k3"] | None = None
    """How a token's KL is estimated; left out, `k1` in the reward and `k3` in the loss. In the reward only `k1` is
    right."""
    controller: Literal["fixed", "adaptive"] = "fixed"
    """`adaptive` moves the coefficient after each batch, to keep the KL near `target`."""
    target: Above | None = None
    """For `adaptive`: nats for each `unit`."""
    unit: Literal["token", "sequence"] | None = None
    """For `adaptive`: what the target is measured by. 6 for a sequence is mild, 6 for a token is never reached."""
    horizon: Positive = 10_000
    """For `adaptive`: completions over which the coefficient may change by about a fifth; more is slower."""


class ShapingSpec(Section):
    """Changes to what the learner is paid, beside the rubric. Stored rewards and evaluations do not know of them."""

    missing_end: Annotated[float, Field(ge=0)] = 0.0
    """Taken from a completion that was cut off before it ended by itself."""
    clip: Above | None = None
    """A completion's total is limited to this size, up and down; the difference goes to its last token."""
    whiten: bool = False
    """For `ppo`: the rewards of tokens, KL included, are divided by their standard deviation over the batch."""


class ConstraintSpec(Section):
    """A reward of the rubric taken as a cost that must stay below a threshold on average. Give it the weight 0."""

    threshold: float = 0.0
    """Mean cost of a completion at most this."""
    lambda_init: Above = 1.0
    """Weight of the cost beside the reward at the start."""
    lambda_lr: Above = 0.1
    """How fast the weight follows the violation, in log space."""
    lambda_max: Above = 100.0
    """The weight never passes this."""
    delay_steps: Count = 0
    """Batches for which the weight stays where it is."""
    window: Positive = 128
    """Completions over which the cost is averaged."""


class InvarianceSpec(Section):
    """Train all groups of tasks to fare alike: those that fare worse count for more."""

    column: str
    """What groups tasks: a key of their `meta`, else of their `inputs`."""
    coef: Above
    """Punishment for the variance between the groups' mean rewards."""


class DynamicSpec(Section):
    """Dynamic sampling (DAPO): groups whose completions are all correct, or all wrong, are replaced by those of other
    tasks. Needs a rubric that says what is correct."""

    rounds: Positive = 3
    """Rounds of replacing in a step; where groups are missing after the last, those that were to be replaced stay."""
    most: Positive | None = None
    """Tasks tried in a round, in each process; left out, as many as a step has."""
    low: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """A group stays where more than this share of it is correct ..."""
    high: Annotated[float, Field(gt=0, le=1)] = 1.0
    """... and less than this."""


class StopSpec(Section):
    """Looks at held-out tasks while training goes on: it ends where they no longer get better, and the policy of the
    best look is kept. Looks change nothing of what is trained."""

    every: Positive = 10
    """Steps between two looks; there is one after the last step, too."""
    limit: Positive = 64
    """At most so many held-out tasks."""
    samples: Positive = 1
    """Completions of each."""
    temperature: Annotated[float, Field(ge=0)] = 1.0
    """Sampling temperature; 0 is greedy."""
    by: str = "total"
    """What must get better: `total`, `correct`, or `reward/NAME`."""
    delta: Annotated[float, Field(ge=0)] = 0.0
    """By more than this."""
    patience: Positive = 3
    """Training ends after so many looks that were not better than the best."""


class OrderSpec(Section):
    """Which tasks a step may meet: easy ones first, or some kinds more often. A column is a key of the tasks' `meta` or
    `inputs`."""

    easy_first: str | None = None
    """Column that says how hard a task is."""
    ranks: list[str] = Field(default_factory=list)
    """Its words from easy to hard; left out, it holds numbers, and the lowest are the easiest."""
    start: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of the tasks, the easiest ones, that the first steps draw from."""
    until: Positive | None = None
    """From this step on, all tasks are drawn from; left out, from the middle of the stage on."""
    kind: str | None = None
    """Column that says which kind a task is of."""
    weights: dict[str, Above] = Field(default_factory=dict)
    """Kind to its share of the tasks drawn, in proportion; every kind must be named."""
