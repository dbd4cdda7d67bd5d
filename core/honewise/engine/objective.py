"""From the credit of one batch, over all processes, to advantages and a critic's targets; and what is learnt beside
weights: the KL's coefficient and the multipliers of constraints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from honewise.algorithms import (
    AdaptiveKL,
    Constraint,
    FixedKL,
    KlController,
    Multipliers,
    Rollouts,
    add_kl_reward,
    charge_missing_end,
    complete,
    explained_variance,
    invariance_weights,
    kl_estimate,
    lagrangian,
    limit_totals,
    masked_mean,
    measure_kl,
    scale_rewards,
    whiten,
)
from honewise.recipes.policy_gradient import KlSpec

from .setup import Setup

__all__ = ["Batch", "Objective", "Targets"]


_LEVEL = 1e-6
"""Returns that spread less are all the same."""


@dataclass(frozen=True, slots=True)
class Batch:
    """N completions of at most T tokens: what they earned, and what else is known of them."""

    rollouts: Rollouts
    """Reward components, with what the estimator and the KL need; ``values`` and ``greedy`` are those below."""
    truncated: Tensor
    """(N,), bool."""
    tasks: Sequence[int] = ()
    """Which task each row answers."""
    costs: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """Cost to its credit (N, T) and whether each row has it (N,)."""
    values: Tensor | None = None
    """(N, T, S): a critic's, one for each stream."""
    greedy_costs: Tensor | None = None
    """(S - 1, N): the greedy completions' costs; NaN where missing."""
    greedy_truncated: Tensor | None = None
    """(N,), bool."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the policy and the critic are trained on."""

    advantages: Tensor
    """(N, T)."""
    returns: Tensor | None = None
    """(N, T, S), with a critic."""
    counted: Tensor | None = None
    """(N, T, S), bool: where there are returns."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """For the log."""


class Objective:
    """What is maximised. Plain tensors in, plain tensors out: every process that is given the same holds the same."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.controller = _controller(setup.kl)
        self.kl_coefficient = self.controller.coefficient
        """The one that this batch is charged with; the controller has that of the next."""
        self.multipliers = Multipliers(
            {
                name: Constraint(
                    threshold=spec.threshold,
                    initial=spec.lambda_init,
                    rate=spec.lambda_lr,
                    maximum=spec.lambda_max,
                    delay=spec.delay_steps,
                    window=spec.window,
                )
                for name, spec in setup.constraints.items()
            }
        )

    @property
    def measures_kl(self) -> bool:
        """Whether the KL is measured on what was sampled; a fixed one in the loss is measured there."""
        kl = self.setup.kl
        return kl is not None and (kl.where == "reward" or kl.controller == "adaptive")

    @property
    def needs(self) -> frozenset[str]:
        """What a batch must hold beside rewards."""
        return self.setup.estimator.needs | ({"old_logps", "ref_logps"} if self.measures_kl else set())

    def learn(self, batch: Batch) -> Targets:
        """Advantages and targets of a training batch; coefficient and multipliers move for the next one."""
        setup = self.setup
        numbers: dict[str, float] = {}
        self.kl_coefficient = self.controller.coefficient
        streams = self._streams(batch)
        advantages = {name: setup.estimator(stream, **setup.options) for name, stream in streams.items()}
        combined = advantages["reward"]
        if setup.constraints:
            combined = self._combined(advantages, streams)
        if setup.invariance is not None:
            combined = combined * self._invariance(batch, numbers).unsqueeze(-1)
        returns, counted = self._returns(streams, numbers)
        self._move(batch, numbers)
        return Targets(combined, returns, counted, numbers)

    def return_scale(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """(S,) mean and (S,) standard deviation of what each stream still earns, over the tokens of the policy."""
        found = []
        for stream in self._streams(batch).values():
            own = stream.mask.bool() & complete(stream).unsqueeze(-1)
            rewards = torch.where(own, stream.rewards.sum(0), 0.0)
            each = rewards.flip(-1).cumsum(-1).flip(-1)[own]
            spread = float(each.std(correction=0)) if len(each) else 0.0
            found.append((float(each.mean()) if len(each) else 0.0, spread if spread > _LEVEL else 1.0))
        mean, deviation = torch.tensor(found, dtype=torch.float64).unbind(-1)
        return mean, deviation

    def evaluate(self, rollouts: Rollouts) -> Tensor:
        """(N, T) advantages of a batch that is not trained on: of the rewards alone, and 0 where the estimator needs
        what nobody computes for an evaluation. Nothing moves."""
        if self.setup.estimator.needs & {"values", "greedy", "ref_logps"}:
            return torch.zeros_like(rollouts.rewards.sum(0))
        return self.setup.estimator(rollouts, **self.setup.options)

    # streams

    def _streams(self, batch: Batch) -> dict[str, Rollouts]:
        """The reward and each cost, apart, with the charges that belong to them."""
        shaping, kl = self.setup.shaping, self.setup.kl
        reward = batch.rollouts
        if shaping.clip is not None:
            reward = limit_totals(reward, shaping.clip)
        if shaping.missing_end:
            reward = charge_missing_end(reward, batch.truncated, shaping.missing_end, greedy=batch.greedy_truncated)
        streams = {"reward": reward}
        for index, (name, (credit, scored)) in enumerate(batch.costs.items()):
            greedy = None if batch.greedy_costs is None else batch.greedy_costs[index : index + 1]
            streams[name] = replace(
                batch.rollouts,
                rewards=credit.unsqueeze(0),
                scored=scored.unsqueeze(0),
                greedy=greedy,
                weights=None if batch.rollouts.weights is None else torch.ones_like(batch.rollouts.weights[:1]),
                steps=None,
            )
        if kl is not None and kl.where == "reward":
            for name, stream in streams.items():
                sign = 1 if name == "reward" else -1
                streams[name] = add_kl_reward(stream, sign * self.kl_coefficient, kind=kl.estimator or "k1")
        if shaping.whiten:
            streams["reward"] = scale_rewards(streams["reward"])
        if batch.values is not None:
            streams = {
                name: replace(stream, values=batch.values[..., index])
                for index, (name, stream) in enumerate(streams.items())
            }
        return streams

    def _combined(self, advantages: Mapping[str, Tensor], streams: Mapping[str, Rollouts]) -> Tensor:
        """One stream of advantages: each whitened over the rows that have it, without which lambda had a unit."""
        white = {}
        for name, stream in streams.items():
            rows = (stream.scored.bool() & stream.mask.any(-1)).any(0)
            white[name] = whiten(advantages[name], stream.mask & rows.unsqueeze(-1))
        reward = white.pop("reward")
        return lagrangian(reward, white, self.multipliers.values, streams["reward"].mask, normalised=False)

    def _invariance(self, batch: Batch, numbers: dict[str, float]) -> Tensor:
        """(N,) factors on the rows."""
        spec, rollouts = self.setup.invariance, batch.rollouts
        assert spec is not None
        labels = [spec.groups[task] for task in batch.tasks]
        known = sorted(set(labels))
        group = torch.tensor([known.index(label) for label in labels])
        scored = (rollouts.scored.bool() & rollouts.mask.any(-1)).any(0)
        totals = (rollouts.rewards.sum(0) * rollouts.mask).sum(-1)
        means = {label: totals[scored & (group == i)] for i, label in enumerate(known)}
        for label, values in means.items():
            if len(values):
                numbers[f"invariance/{label}"] = float(values.mean())
        return invariance_weights(totals, group, spec.coefficient, known=scored)

    def _returns(
        self, streams: Mapping[str, Rollouts], numbers: dict[str, float]
    ) -> tuple[Tensor | None, Tensor | None]:
        estimator = self.setup.estimator
        if estimator.returns is None:
            return None, None
        returns, counted = [], []
        for name, stream in streams.items():
            assert stream.values is not None
            found = estimator.targets(stream, **self.setup.options)
            own = stream.mask.bool() & complete(stream).unsqueeze(-1)
            prefix = "critic" if name == "reward" else f"critic/{name}"
            numbers[f"{prefix}/explained_variance"] = float(explained_variance(stream.values, found, own))
            numbers[f"{prefix}/value"] = float(masked_mean(stream.values, own))
            numbers[f"{prefix}/return"] = float(masked_mean(found, own))
            returns.append(found)
            counted.append(own)
        return torch.stack(returns, -1), torch.stack(counted, -1)

    # what moves

    def _move(self, batch: Batch, numbers: dict[str, float]) -> None:
        """The coefficient and the multipliers that this batch was charged with go to the log, and on."""
        kl = self.setup.kl
        if kl is not None:
            numbers["kl/coef"] = self.kl_coefficient
            if self.measures_kl:
                self._measure_kl(batch, kl, numbers)
        if self.setup.constraints:
            numbers |= {f"lambda/{name}": value for name, value in self.multipliers.values.items()}
            episodes = {name: credit.sum(-1)[scored.bool()].tolist() for name, (credit, scored) in batch.costs.items()}
            numbers |= {f"cost/{name}": sum(each) / len(each) for name, each in episodes.items() if each}
            self.multipliers.update(episodes)

    def _measure_kl(self, batch: Batch, kl: KlSpec, numbers: dict[str, float]) -> None:
        rollouts = batch.rollouts
        assert rollouts.old_logps is not None
        assert rollouts.ref_logps is not None
        rows = rollouts.scored.bool().any(0)
        own = rollouts.mask.bool() & rows.unsqueeze(-1)
        if not own.any():
            return
        each = kl_estimate(rollouts.old_logps, rollouts.ref_logps, "k1")
        measured = {unit: measure_kl(each, own, unit) for unit in ("token", "sequence")}
        numbers |= {f"kl/{unit}": value for unit, value in measured.items()}
        if kl.unit is not None:
            self.controller.update(measured[kl.unit], unit=kl.unit, samples=len(rows))

    def state(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return {
            "kl": self.controller.state(),
            "kl_coefficient": self.kl_coefficient,
            "multipliers": self.multipliers.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.controller.restore(state["kl"])
        self.kl_coefficient = float(state["kl_coefficient"])
        self.multipliers.restore(state["multipliers"])


def _controller(kl: KlSpec | None) -> KlController:
    if kl is None or kl.controller == "fixed":
        return FixedKL(0.0 if kl is None else kl.coef)
    assert kl.target is not None
    assert kl.unit is not None
    return AdaptiveKL(kl.coef, target=kl.target, unit=kl.unit, horizon=kl.horizon)
