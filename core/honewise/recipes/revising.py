"""The stage ``revise``: answers rewritten by principles, to be learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from honewise.errors import Problem, near

from .sections import Positive, Section

__all__ = ["ReviseStage", "revise_problems"]


class ReviseStage(Section):
    """Answers of a policy, critiqued and rewritten by the judge round after round, each by a principle drawn from a
    constitution (Constitutional AI); kept in the run's folder as `revisions.jsonl`, for `sft` with `on: answers`."""

    stage: Literal["revise"] = "revise"
    """The kind of stage; left out, the stage's own name."""
    constitution: str
    """A file of principles (looked up beside the recipe, then in the working directory); those with `critique` and
    `revision` that are for this domain, or for any, are drawn from."""
    locale: str | None = None
    """The language, or language and region, that principles must be for; left out, all."""
    of: str | None = None
    """Who wrote the first answers: an earlier stage that trains, or `base`; left out, the last one that wrote a
    policy."""
    rounds: Positive = 4
    """Critiques and revisions of each answer."""
    targets: Literal["all", "last"] = "all"
    """What `sft` is shown: every revision, or the last one of each answer."""
    limit: Positive | None = None
    """At most so many training tasks."""
    samples: Positive = 1
    """Answers to each task."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Of sampling them."""
    max_new_tokens: Positive | None = None
    """Longest of them in tokens; left out, that of the last stage before it that says one, else 256."""


def revise_problems(
    raw: Mapping[str, Any], name: str, stage: Mapping[str, Any], policies: Sequence[str]
) -> Iterator[Problem]:
    """Problems of one ``revise`` stage; ``raw`` is the whole recipe."""
    path, judge, of = f"stages.{name}", raw.get("judge"), stage.get("of")
    if judge is None:
        yield Problem(path, "needs a judge, which critiques and rewrites; add the section judge")
    elif isinstance(judge, Mapping) and judge.get("panel") is not None:
        yield Problem(path, "needs one judge, and judge.panel has several: of texts there is no mean")
    if isinstance(of, str) and of not in policies:
        yield Problem(f"{path}.of", f"no earlier stage that trains {of!r}{near(of, policies)}")
