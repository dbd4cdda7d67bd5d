"""What is wrong with each reward of a recipe's rubric by itself, so that no fault hides another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from honewise.contracts import Domain, Reward, Term
from honewise.errors import HonewiseError, Problem, UserError, near
from honewise.host import PluginHost
from honewise.recipes.domains import RewardSpec
from honewise.scoring.functions import faults, find, from_file
from honewise.scoring.gates import Gate
from honewise.scoring.rubric import check_term
from honewise.scoring.spec import changed

__all__ = ["RubricProblems"]


@dataclass(frozen=True, slots=True)
class RubricProblems:
    """The rewards of ``rubric`` as read, on top of the preset's ``terms``; ``path`` is that of ``rubric.rewards``."""

    rewards: Mapping[str, Any]
    terms: Mapping[str, float | Term]
    domain: Domain
    host: PluginHost
    path: str
    judged: bool
    """Whether a judge is there; without one, rewards that ask for it are left out and need not be right."""

    def __iter__(self) -> Iterator[Problem]:
        names = [str(name) for name in {**self.terms, **self.rewards} if self.rewards.get(name, 1) is not None]
        for name in names:
            spec, at = self.rewards.get(name, {}), f"{self.path}.{name}"
            try:
                reward = self._reward(name, spec)
            except UserError as error:
                yield Problem(f"{at}.fn", str(error))
                continue
            if reward is not None and "judge" in reward.arguments and not self.judged:
                continue
            term = self._term(name, spec)
            if reward is not None:
                yield from self._called(name, reward, spec, term, at)
            if term is not None and term.when is not None:
                yield from self._gate(name, term.when, names, f"{at}.when")

    def _reward(self, name: str, spec: Any) -> Reward | None:
        """None where there is no function, or where what is wrong with its name is told elsewhere."""
        place = spec.get("fn") if isinstance(spec, Mapping) else None
        if isinstance(place, str):
            own = name in self.terms or any(name == reward.name for reward in self.domain.rewards)
            told = own or (":" in place and not Path(place.rpartition(":")[0]).expanduser().exists())
            return None if told else from_file(name, place)
        if isinstance(spec, Mapping) and spec.get("model") is not None:
            return None
        try:
            return find([name], self.domain, host=self.host)[name].reward
        except HonewiseError:
            return None

    def _term(self, name: str, spec: Any) -> Term | None:
        """The reward's place in the rubric; None where the recipe's shape says too little."""
        found = self.terms.get(name, Term())
        base = found if isinstance(found, Term) else Term(float(found))
        change = {"weight": spec} if isinstance(spec, (int, float)) else spec
        try:
            return changed(name, base, RewardSpec.model_validate(change))
        except ValidationError:
            return None

    def _called(self, name: str, reward: Reward, spec: Any, term: Term | None, at: str) -> Iterator[Problem]:
        said = spec.get("options") if isinstance(spec, Mapping) else None
        options = said if isinstance(said, Mapping) else {} if term is None else term.options
        here = f"{at}.fn" if isinstance(spec, Mapping) and spec.get("fn") is not None else at
        for problem in faults(name, reward, {str(key): value for key, value in options.items()}):
            yield Problem(f"{at}.{problem.path}" if problem.path else here, problem.message)
        if term is not None:
            try:
                check_term(name, term, reward.bounds)
            except UserError as error:
                yield Problem(at, str(error))

    def _gate(self, name: str, when: str, names: list[str], path: str) -> Iterator[Problem]:
        try:
            other = Gate.of(name, when).other
        except UserError as error:
            yield Problem(path, str(error))
            return
        if other not in names:
            rest = near(other, [each for each in names if each != name])
            yield Problem(path, f"reward {name!r} is gated on {other!r}, which is not in the rubric{rest}")
