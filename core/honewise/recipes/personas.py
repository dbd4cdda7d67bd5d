"""The stage ``personas``: tasks that a model writes as somebody, with the answers to them, to be learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from honewise.errors import Problem, near

from .sections import Positive, Section

__all__ = ["PersonaSpec", "PersonasStage", "personas_problems"]

FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=100)]


class PersonaSpec(Section):
    """Somebody from whose point of view tasks are written."""

    id: Annotated[str, Field(min_length=1)]
    """A name that no other has."""
    text: Annotated[str, Field(min_length=1)]
    """Who it is, in words."""
    domain: str = ""
    """The domain that it is for; left out, any."""
    locale: str = ""
    """The language, or language and region, that it is for; left out, any."""


class PersonasStage(Section):
    """Tasks that the judge writes from the point of view of personas, several answers to each, scored by the rubric
    (PiKa); tasks and best answers are kept in the run's folder, for `sft` with `on: best` and for `pairs`."""

    stage: Literal["personas"] = "personas"
    """The kind of stage; left out, the stage's own name."""
    personas: str | Annotated[list[PersonaSpec], Field(min_length=1)]
    """Who: a file of personas (looked up beside the recipe, then in the working directory), or a list of them."""
    locale: str | None = None
    """The language, or language and region, that personas must be for; left out, all."""
    about: str
    """What tasks are to be about, in the words in which the judge is told."""
    fields: Annotated[dict[FieldName, str], Field(min_length=1)]
    """What the judge writes of a task: keys of a row of the data set, each with what belongs there, in words; `a.b` is
    the key `b` inside `a`."""
    given: dict[str, Any] = Field(default_factory=dict)
    """Further keys of each row, alike for all: what no model may choose, such as the path of a database."""
    format: str = "jsonl"
    """The format in which the domain reads such rows."""
    count: Positive = 100
    """Tasks asked for, of each persona one before any has a second."""
    invention: Annotated[float, Field(ge=0)] = 1.0
    """Temperature at which tasks are written."""
    of: str | None = None
    """Who answers: an earlier stage that trains, or `base`; left out, the judge."""
    samples: Annotated[int, Field(ge=2)] = 4
    """Answers to each task, of which the best is kept."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of sampling answers."""
    max_new_tokens: Positive | None = None
    """Longest answer in tokens; left out, that of the last stage before it that says one, else 256. Where the judge
    answers: `judge.max_tokens`."""
    sampled_at_once: Positive = 64
    """Answers sampled, scored and stored at once; what a killed run has to do again at most."""


def personas_problems(
    raw: Mapping[str, Any], name: str, stage: Mapping[str, Any], policies: Sequence[str]
) -> Iterator[Problem]:
    """Problems of one ``personas`` stage; ``raw`` is the whole recipe."""
    path, judge, of = f"stages.{name}", raw.get("judge"), stage.get("of")
    if judge is None:
        yield Problem(path, "needs a judge, which writes the tasks; add the section judge")
    elif isinstance(judge, Mapping) and judge.get("panel") is not None:
        yield Problem(path, "needs one judge, and judge.panel has several: of texts there is no mean")
    if isinstance(of, str) and of not in policies:
        yield Problem(f"{path}.of", f"no earlier stage that trains {of!r}{near(of, policies)}")
    fields, given = stage.get("fields"), stage.get("given")
    names = [str(each) for each in fields] if isinstance(fields, Mapping) else []
    for each in names:
        if isinstance(given, Mapping) and each.partition(".")[0] in given:
            yield Problem(f"{path}.fields.{each}", "is given already; it is either given or written")
        if any(each.startswith(f"{other}.") for other in names):
            yield Problem(f"{path}.fields.{each}", "is a part of another field; name the parts alone")
