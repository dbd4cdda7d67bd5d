"""What an advantage estimator gets, and what it is."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from honewise.errors import UserError, near

__all__ = ["NEEDS", "Estimator", "Rollouts"]

NEEDS: Mapping[str, str] = {
    "old_logps": "log-probabilities of the generated tokens under the policy that sampled them",
    "ref_logps": "log-probabilities under the reference policy",
    "entropies": "entropy of the policy's next-token distribution, in nats",
    "values": "a critic's value of the text before each token",
    "greedy": "each component's total for the greedy completion of the same prompt",
    "correct": "whether each completion is correct, as the rubric says",
    "weights": "each component's weight in the rubric",
}
"""Inputs beside the rewards that an estimator may declare to need, by their field in ``Rollouts``."""


@dataclass(frozen=True, slots=True)
class Rollouts:
    """One batch of B completions, padded to T tokens, scored by K reward components.

    Rows of one group answer the same prompt; groups may differ in size and lie in any order. The batch is that of a
    whole step, over all processes.
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
    """(B, T)."""
    ref_logps: Tensor | None = None
    """(B, T)."""
    entropies: Tensor | None = None
    """(B, T), nats."""
    values: Tensor | None = None
    """(B, T)."""
    greedy: Tensor | None = None
    """(K, B): weighted totals of the greedy completion of the row's prompt; NaN where it lacks the component."""
    correct: Tensor | None = None
    """(B,), integer: 1 correct, 0 wrong, -1 not known."""
    weights: Tensor | None = None
    """(K,): the weights that ``rewards`` were multiplied by."""
    domain: Tensor | None = None
    """(B,), integer: which domain a row's task belongs to; None where there is but one."""
    steps: Tensor | None = None
    """(K, B, T), bool: where a step of component k ends, whatever it earned there; None where nobody said."""
    kl: int | None = None
    """Which component is the KL charge that ``add_kl_reward`` put in."""

    def __post_init__(self) -> None:
        if self.rewards.dim() != 3 or not self.rewards.is_floating_point():
            raise ValueError(
                f"rewards must be floating (K, B, T), not {self.rewards.dtype} {tuple(self.rewards.shape)}"
            )
        components, rows, tokens = self.rewards.shape
        per_token = (rows, tokens)
        shapes = {
            "scored": (components, rows),
            "mask": per_token,
            "group": (rows,),
            "old_logps": per_token,
            "ref_logps": per_token,
            "entropies": per_token,
            "values": per_token,
            "greedy": (components, rows),
            "correct": (rows,),
            "weights": (components,),
            "domain": (rows,),
            "steps": (components, rows, tokens),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise ValueError(
                    f"{name} must have shape {shape} beside rewards {tuple(self.rewards.shape)},"
                    f" not {tuple(value.shape)}"
                )
        if self.kl is not None and not 0 <= self.kl < components:
            raise ValueError(f"kl must be the number of one of {components} components, not {self.kl}")

    def select(self, components: list[int]) -> Rollouts:
        """The same completions with these components only, in this order; for streams that are kept apart."""
        kept = torch.tensor(components, dtype=torch.long, device=self.rewards.device)
        fields = ("rewards", "scored", "greedy", "weights", "steps")
        chosen = {name: getattr(self, name)[kept] for name in fields if getattr(self, name) is not None}
        return replace(self, **chosen, kl=components.index(self.kl) if self.kl in components else None)


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
    returns: Callable[..., Tensor] | None = None
    """What a critic is fitted to, (B, T), from the same rollouts and some of the same options; None without one."""

    def __post_init__(self) -> None:
        for name in self.needs - set(NEEDS):
            raise ValueError(f"estimator {self.name!r} needs {name!r}{near(name, NEEDS)}")

    @property
    def options(self) -> Mapping[str, Any]:
        """Options with their defaults."""
        return _options(self.fn)

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise ``UserError`` on an option that this estimator does not have, or a value of the wrong kind."""
        for name in options:
            if name not in self.options:
                raise UserError(f"estimator {self.name!r} has no option {name!r}{near(name, self.options)}")
        for name, wanted in _hints(self.fn).items():
            if name in options and not _fits(options[name], wanted):
                raise UserError(f"estimator {self.name!r}: {name} {options[name]!r}{_expected(options[name], wanted)}")

    def __call__(self, rollouts: Rollouts, **options: Any) -> Tensor:
        self._prepare(rollouts, options)
        return self.fn(rollouts, **options)

    def targets(self, rollouts: Rollouts, **options: Any) -> Tensor:
        """(B, T): what a critic should have predicted, with the options that the advantages are computed with."""
        if self.returns is None:
            raise ValueError(f"estimator {self.name!r} has no critic")
        self._prepare(rollouts, options)
        return self.returns(rollouts, **{name: options[name] for name in _options(self.returns) if name in options})

    def _prepare(self, rollouts: Rollouts, options: Mapping[str, Any]) -> None:
        self.check(options)
        for name in self.needs:
            if getattr(rollouts, name) is None:
                raise ValueError(f"estimator {self.name!r} needs {name}: {NEEDS[name]}")


def _options(fn: Callable[..., Any]) -> dict[str, Any]:
    return {p.name: p.default for p in inspect.signature(fn).parameters.values() if p.kind is p.KEYWORD_ONLY}


def _hints(fn: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(fn)
    except (NameError, TypeError):  # a plugin's annotation that only its type checker can see
        return {}


def _fits(value: Any, wanted: Any) -> bool:
    """Whether an option's value is of the annotated kind; kinds that a recipe cannot hold are not checked."""
    origin = get_origin(wanted)
    if origin is Literal:
        return value in get_args(wanted)
    if origin in (Union, types.UnionType):
        return any(_fits(value, each) for each in get_args(wanted))
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if wanted in (bool, str, type(None)):
        return isinstance(value, wanted)
    return True


def _expected(value: Any, wanted: Any) -> str:
    kinds = [wanted] if get_origin(wanted) not in (Union, types.UnionType) else list(get_args(wanted))
    names = [str(name) for kind in kinds if get_origin(kind) is Literal for name in get_args(kind)]
    if names:
        return near(str(value), names)
    words = {float: "a number", int: "a whole number", bool: "true or false", str: "text", type(None): "null"}
    return "; it must be " + " or ".join(words.get(kind, str(kind)) for kind in kinds)
