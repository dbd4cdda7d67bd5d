"""What sections of a recipe are made of, and what stages that train have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "BASE",
    "Count",
    "LoraSpec",
    "Name",
    "Positive",
    "QuantizeSpec",
    "Section",
    "Share",
    "TrainingStage",
    "as_seconds",
    "works_of",
]

BASE = "base"
"""In ``from`` and ``of``: the policy as ``policy:`` describes it, before any stage."""

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]


class Section(BaseModel):
    """A mapping of a recipe in which every key is known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class LoraSpec(Section):
    """Train low-rank adapters and leave the model's own weights alone."""

    r: Positive = 16
    """Rank of the adapters."""
    alpha: Positive = 32
    """Scale numerator: updates are multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of adapter inputs dropped in training."""
    targets: list[str] | Literal["all-linear"] = "all-linear"
    """Names of the modules to adapt, or `all-linear`."""


class QuantizeSpec(Section):
    """Load the model's weights in few bits and train adapters on them (QLoRA). Needs `lora`, and `hub` or `path`."""

    kind: Literal["bnb", "hqq"] = "bnb"
    """`bnb` is bitsandbytes, in 4 or 8 bits; `hqq` is half-quadratic quantisation, which needs a GPU."""
    bits: Literal[1, 2, 3, 4, 8] = 4
    """Bits of a weight; 4 or 8 for `bnb`."""
    type: Literal["nf4", "fp4"] | None = None
    """For `bnb` in 4 bits: the values that a weight may take; left out, `nf4`."""
    double: bool | None = None
    """For `bnb` in 4 bits: keep the scales of blocks in 8 bits, too; left out, true."""
    group: Positive | None = None
    """For `hqq`: weights that share a scale; left out, 64."""


class TrainingStage(Section):
    """What all stages that train have in common."""

    from_: str | None = Field(default=None, alias="from")
    """The earlier stage whose policy is trained further, or `base`; left out, the last one that wrote a policy."""
    save_every: Positive | None = None
    """Steps between checkpoints; left out, ten checkpoints are spread over the stage."""
    keep: Positive = 2
    """Checkpoints kept."""
    trainer: dict[str, Any] = Field(default_factory=dict)
    """Any argument of the TRL trainer behind the stage; checked against TRL's own fields when the recipe is read."""


def as_seconds(value: Any) -> Any:
    """Checks ``seconds``: a number, or ``as STAGE``."""
    if isinstance(value, str) and not value.startswith("as "):
        raise ValueError("must be a number of seconds, or 'as STAGE'")
    return value


def works_of(raw: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Of a recipe as read: each domain's name, the start of its paths, and what holds its `data` and `rubric`.

    An only domain has the empty name, and the recipe itself; what is no mapping is passed over.
    """
    several = raw.get("domains")
    if not isinstance(several, Mapping):
        yield "", "", raw
        return
    for name, part in several.items():
        if isinstance(part, Mapping):
            yield str(name), f"domains.{name}.", part
