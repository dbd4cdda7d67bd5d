"""Reward models as rewards of the rubric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.contracts import Completion, Reward, Score, Task, Unscored
from honewise.errors import RunError
from honewise.recipes.domains import Work
from honewise.recipes.preference import RewardModelStage
from honewise.recipes.schema import RewardSpec
from honewise.runs.run import Run

if TYPE_CHECKING:
    from honewise.engine.reward_scoring import RewardModel

__all__ = ["MODEL_FOLDER", "ModelReward", "model_rewards", "models_of"]

MODEL_FOLDER = "model"
"""What a stage's model is called, below the stage's folder."""


class ModelReward:
    """A reward of the rubric that asks a reward model, in batches, in this process."""

    def __init__(self, name: str, spec: RewardSpec, stages: Mapping[str, Any]) -> None:
        assert spec.model is not None
        self.name, self.spec = name, spec
        self.stage = spec.model if isinstance(stages.get(spec.model), RewardModelStage) else None
        """The stage that trains it; None where it is there already."""
        self._place: str | None = None if self.stage else spec.model
        self._device = "auto"
        self._model: RewardModel | None = None

    @property
    def reward(self) -> Reward:
        return Reward(fn=self.score, name=self.name, bounds=(-math.inf, math.inf), cost="device")

    def settle(self, run: Run, device: str) -> None:
        """Say where the run's stages keep their models, and where to compute."""
        self._device = device
        if self.stage is not None:
            self._place = str(run.stage_folder(self.stage) / MODEL_FOLDER)

    def release(self) -> None:
        """Let go of the model."""
        self._model = None

    def score(self, tasks: Sequence[Task], completions: Sequence[Completion]) -> list[Score | Unscored]:
        """One result for each completion."""
        model = self.load()
        dense = model.settings.segments is not None if self.spec.segments is None else self.spec.segments
        return model.score(tasks, completions, dense=dense, cross_fit=self.spec.cross_fit)

    def load(self) -> RewardModel:
        """The model, loaded once. Raises ``UserError`` where it cannot be had."""
        if self._model is None:
            from honewise.engine.reward_scoring import load_reward_model

            if self._place is None or (self.stage is not None and not Path(self._place).is_dir()):
                raise RunError(f"stage {self.stage!r} has not trained its reward model yet")
            self._model = load_reward_model(self._place, device=self._device, folds=self.spec.cross_fit)
        return self._model


def model_rewards(specs: Mapping[str, RewardSpec | None], stages: Mapping[str, Any]) -> dict[str, ModelReward]:
    """The rubric's rewards that are models, by name; ``stages`` are those of the recipe."""
    return {name: ModelReward(name, spec, stages) for name, spec in specs.items() if spec is not None and spec.model}


def models_of(works: Mapping[str, Work], stages: Mapping[str, Any]) -> dict[str, ModelReward]:
    """Those of every domain of a recipe, as ``DOMAIN/NAME`` where it has several."""
    return {
        f"{name}/{reward}" if name else reward: model
        for name, work in works.items()
        for reward, model in model_rewards(work.rubric.rewards, stages).items()
    }
