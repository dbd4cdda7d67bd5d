"""What honewise adds to TRL's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from honewise.algorithms import Estimator, RatioLevel
from honewise.clients.ledger import CallRecord
from honewise.contracts import Rubric, Scored, Task
from honewise.models.critic import Critic
from honewise.recipes.policy_gradient import ConstraintSpec, CriticSpec, DynamicSpec, KlSpec, ShapingSpec
from honewise.scoring import Row

from .credit import Placement
from .order import Drawing

__all__ = ["Invariance", "RolloutScores", "Scores", "Setup"]


class Scores(Protocol):
    """What the trainer needs of ``honewise.scoring.Scorer``."""

    @property
    def rubric(self) -> Rubric: ...
    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]: ...
    def take_calls(self) -> list[CallRecord]: ...
    def charge(self, calls: Sequence[CallRecord]) -> None: ...
    def check_budget(self, scored: Sequence[Scored], max_unscored: float) -> None: ...


class RolloutScores(Scores, Protocol):
    """And what sampling needs that goes on meanwhile."""

    @property
    def overlaps(self) -> bool: ...
    def submit(self, rows: Sequence[Row], *, step: int = 0) -> Future[list[Scored]]: ...


@dataclass(frozen=True, slots=True)
class Invariance:
    """Which tasks belong together, and how much it costs that groups fare differently."""

    groups: Sequence[str]
    """For each task, in the order of ``Setup.tasks``."""
    coefficient: float


@dataclass(frozen=True, slots=True)
class Setup:
    """All of it; what is left out is plain GRPO."""

    tasks: Sequence[Task]
    scorer: RolloutScores
    estimator: Estimator
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the estimator."""
    placement: Placement = "span_end"
    max_unscored: float = 1.0
    keep: int = 2
    """Checkpoints kept."""
    note: Callable[[str], None] = print
    """Told what a person should know."""
    ratio: RatioLevel = "token"
    """``sequence_token`` is ours; the other two are TRL's own."""
    kl: KlSpec | None = None
    """None leaves the KL to TRL's ``beta``."""
    critic: CriticSpec | None = None
    """How it is trained; None where there is none."""
    new_critic: Callable[[], Critic] | None = None
    """Makes it, of the policy as the stage found it."""
    shaping: ShapingSpec = field(default_factory=ShapingSpec)
    constraints: Mapping[str, ConstraintSpec] = field(default_factory=dict)
    """Cost to its constraint; costs are rewards of the rubric with weight 0."""
    invariance: Invariance | None = None
    drawing: Drawing | None = None
    """Which tasks a step may meet; None: every task once an epoch."""
    chunks: int = 1
    """Parts in which a generation is sampled, each scored while the next is sampled."""
    dynamic: DynamicSpec | None = None
    """Which groups are replaced by others."""

    @property
    def streams(self) -> tuple[str, ...]:
        """What has advantages, and a critic's value, of its own: the reward, then each cost."""
        return ("reward", *self.constraints)
