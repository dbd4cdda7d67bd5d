"""What an advantage estimator gets, and what it is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from honewise.errors import UserError, near

__all__ = ["NEEDS", "Estimator", "Rollouts"]

NEEDS: Mapping[str, str] = {
    "old_logps": "log-probabilities of the generated tokens under the policy that sampled them",
    "ref_logps": "log-probabilities under the reference policy",
    "entropies": "entropy of the policy's next-token distribution, in nats",
    "values": "a critic's value of the text before each token",
}
"""Per-token inputs, each of shape (B, T), that an estimator may declare to need."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One batch of B completions, padded to T tokens, scored by K reward components.

    Rows of one group answer the same prompt; groups may differ in size and lie in any order.
    """

    rewards: Tensor
    """(K, B, T), floating: weighted reward of each component at the token that earned it. 0 where nothing was earned,
    at padding, and in rows in which the component is missing."""
    scored: Tensor
    """(K, B), bool: whether the component could be computed for the completion. A dropped group is False throughout."""
    mask: Tensor
    """(B, T), bool: tokens that the policy wrote; False at padding and at text put in by tools."""
    group: Tensor
    """(B,), integer: which completions belong together."""
    old_logps: Tensor | None = None
    ref_logps: Tensor | None = None
    entropies: Tensor | None = None
    values: Tensor | None = None

    def __post_init__(self) -> None:
        if self.rewards.dim() != 3 or not self.rewards.is_floating_point():
            raise ValueError(
                f"rewards must be floating (K, B, T), not {self.rewards.dtype} {tuple(self.rewards.shape)}"
            )
        components, rows, tokens = self.rewards.shape
        wanted = {"scored": (components, rows), "mask": (rows, tokens), "group": (rows,)}
        wanted |= {name: (rows, tokens) for name in NEEDS if getattr(self, name) is not None}
        for name, shape in wanted.items():
            given = tuple(getattr(self, name).shape)
            if given != shape:
                raise ValueError(
                    f"{name} must have shape {shape} beside rewards {tuple(self.rewards.shape)}, not {given}"
                )


@dataclass(frozen=True, slots=True)
class Estimator:
    """A named advantage estimator.

    ``fn(rollouts, **options)`` returns advantages of shape (B, T), in the dtype of ``rollouts.rewards``: 0 outside the
    mask, in rows that are unscored, and where a row has nothing to be compared with. It must be pure. Its keyword-only
    arguments are options that a recipe may set (``estimator_options``).
    """

    name: str
    fn: Callable[..., Tensor]
    needs: frozenset[str] = frozenset()
    """Names of ``NEEDS`` that the engine computes for it, and only those."""
    dense: bool = True
    """Whether advantages can differ between the tokens of one completion."""

    def __post_init__(self) -> None:
        for name in self.needs - set(NEEDS):
            raise ValueError(f"estimator {self.name!r} needs {name!r}{near(name, NEEDS)}")

    @property
    def options(self) -> Mapping[str, Any]:
        """Options with their defaults."""
        parameters = inspect.signature(self.fn).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ``UserError`` on an option that this estimator does not have."""
        for name in options:
            if name not in self.options:
                raise UserError(f"estimator {self.name!r} has no option {name!r}{near(name, self.options)}")

    def __call__(self, rollouts: Rollouts, **options: Any) -> Tensor:
        self.check(options)
        for name in self.needs:
            if getattr(rollouts, name) is None:
                raise ValueError(f"estimator {self.name!r} needs {name}: {NEEDS[name]}")
        return self.fn(rollouts, **options)
