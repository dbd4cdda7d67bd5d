"""What a recipe trains for: one domain or several, each with its tasks and its rubric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .sections import Count, Positive, Section, Share

__all__ = [
    "DataSection",
    "DataSpec",
    "DomainSpec",
    "PartRubricSpec",
    "PartSpec",
    "RewardSpec",
    "RubricSpec",
    "Work",
]


class DomainSpec(BaseModel):
    """Which domain, and its options: every other key is a keyword argument of the domain's factory."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    use: str
    """The domain's name, as `honewise domains` lists it."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys beside ``use``."""
        return dict(self.model_extra or {})


class DataSpec(Section):
    """Where tasks come from: the domain's own samples, or a data set on disk or on the hub."""

    samples: Literal["train", "held-out"] | None = None
    """A split of the domain's own sample tasks; left out, that of the section's name. Not together with `path`."""
    path: str | None = None
    """A file or folder of the data set in its published layout (looked up beside the recipe, then in the working
    directory), or a Hugging Face data set as `org/name:split`. Not together with `samples`."""
    format: str | None = None
    """The data set's format; left out, it is recognised from the content, and said."""
    limit: Positive | None = None
    """At most this many tasks, counted after shuffling."""
    shuffle: Count | None = None
    """Shuffle the tasks with this seed before `limit`; left out, the order of the data set."""


class DataSection(Section):
    """The two task sets of a run."""

    train: DataSpec = Field(default_factory=lambda: DataSpec(samples="train"))
    """Tasks that stages train on."""
    held_out: DataSpec = Field(default_factory=lambda: DataSpec(samples="held-out"))
    """Tasks that only `evaluate` sees."""


def _as_reward_mapping(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"weight": value}
    return value


class RewardSpec(Section):
    """A reward's place in the rubric: changes one of the preset's, or adds a reward. A bare number is its weight."""

    weight: float | dict[Annotated[int, Field(ge=0)], float] | None = None
    """A constant, or `{step: weight}`: from each step on, that weight. Left out, the preset's; 1 for a reward that is
    added."""
    when: str | None = None
    """Gate on another reward's raw value, such as `execution >= 1`; closed, it is scored as `otherwise`."""
    otherwise: float | None = None
    """The value while the gate is closed; left out, the preset's, or 0."""
    clip: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """Lowest and highest value, applied before the weight."""
    normalise: Literal["none", "bounds"] | None = None
    """`bounds` maps the reward's declared range to [0, 1]; left out, the preset's, or `none`."""
    on_unscored: Literal["skip", "drop_group", "zero", "raise"] | None = None
    """What happens where the reward could not be computed; `skip` leaves its component out, without bias. Left out, the
    preset's, or `skip`."""
    fn: str | None = None
    """A reward of your own, as `file.py:function`, beside the recipe."""
    model: str | None = None
    """A reward model: a `reward-model` stage, a folder that one wrote, or a hub id of a sequence classifier with one
    output. Stages before that stage are scored without it."""
    segments: bool | None = None
    """Pay each segment where it ends, for a model that was trained to; left out, where it was."""
    cross_fit: bool = False
    """Score each prompt by the model of the fold that never saw it; needs `folds` in the model's stage."""
    stages: Annotated[list[str], Field(min_length=1)] | None = None
    """Stages that are scored with it; left out, all. So a judge that makes pairs need not be asked again while a model
    that learnt from them pays."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Keyword-only arguments of the reward's function."""


class PartRubricSpec(Section):
    """What a completion of this domain is worth: a preset of the domain, re-weighted by name."""

    preset: str | None = None
    """A rubric of the domain; left out, its first."""
    rewards: dict[str, Annotated[RewardSpec | None, BeforeValidator(_as_reward_mapping)]] = Field(default_factory=dict)
    """Changes by name: a number is a weight, `null` drops the reward, a mapping sets the fields it names."""
    correct: str | None = None
    """The reward that decides whether a completion is correct; left out, the preset's."""
    cap_wrong: bool | None = None
    """A wrong completion never totals as much as the least a right one can; left out, the preset's."""


class RubricSpec(PartRubricSpec):
    """What a completion is worth: a preset of the domain, re-weighted by name."""

    max_unscored: Share = 0.05
    """Share of the completions of one step that may stay unscored; above it the run saves a checkpoint, shows a table
    of reasons and stops."""


class PartSpec(BaseModel):
    """One of several domains of a run. Every other key is an option of the domain, as in `domain`."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, use_attribute_docstrings=True)

    use: str
    """The domain's name, as `honewise domains` lists it; several may use one, with other options."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Its share of the tasks that `rl` draws, in proportion to the others' weights."""
    data: DataSection = Field(default_factory=DataSection)
    """Its training and held-out tasks; left out, its own samples."""
    rubric: PartRubricSpec = Field(default_factory=PartRubricSpec)
    """What its completions are worth."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The keys that are the domain's."""
        return dict(self.model_extra or {})


@dataclass(frozen=True, slots=True)
class Work:
    """A domain of a run with all that the recipe says of it."""

    use: str
    options: Mapping[str, Any] = field(default_factory=dict)
    data: DataSection = field(default_factory=DataSection)
    rubric: PartRubricSpec = field(default_factory=PartRubricSpec)
    weight: float = 1.0
