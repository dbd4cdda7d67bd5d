"""Critique and revise: the supervised half of Constitutional AI (2212.08073), as a function over a model.

What it yields are rows for a stage that trains on them, each with all that it was made of.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from honewise.contracts import Judge, JudgeTemplate
from honewise.errors import JudgeError

from .asking import ask, single
from .context import free_text
from .principles import Constitution
from .prompt import template_hash

__all__ = ["CRITIQUE", "REVISION", "Revision", "revisions", "targets"]

CRITIQUE = JudgeTemplate("judges/prompts/critique.md", free_text, "honewise")
"""Slots ``{{prompt}}`` and ``{{answer}}``; the principle's ``critique`` stands below."""
REVISION = JudgeTemplate("judges/prompts/revision.md", free_text, "honewise")
"""Slots ``{{prompt}}``, ``{{answer}}`` and ``{{critique}}``; the principle's ``revision`` stands below."""

_ALONE = "Reply with the critique alone."
_WHOLE = "Reply with the whole revised answer and nothing else: no remark about it, and none of the tags."


@dataclass(frozen=True, slots=True)
class Revision:
    """One round: what was asked, the first answer, what was found wrong with the one before, and what became of it."""

    prompt: str
    answer: str
    """The first one."""
    before: str
    """What this round revised: the first answer, or the revision of the round before."""
    critique: str
    revision: str
    principle: str
    """Its id."""
    round: int
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Hashes of constitution and templates, model, seed, and ``first``: who wrote the first answer."""

    def to_json(self) -> dict[str, Any]:
        """As plain data, for a file of rows."""
        return {**asdict(self), "provenance": dict(self.provenance)}


async def revisions(
    judge: Judge,
    constitution: Constitution,
    prompt: str,
    answer: str,
    *,
    rounds: int = 4,
    seed: int = 0,
    key: str = "",
    domain: str | None = None,
    locale: str | None = None,
    temperature: float | None = None,
    first: str = "",
    critique: JudgeTemplate = CRITIQUE,
    revision: JudgeTemplate = REVISION,
) -> AsyncIterator[Revision]:
    """Critique and revise an answer, round after round, each by a principle drawn anew; yields a row for each.

    Args:
        judge: the model that criticises and revises: one judge, no panel; it may be the policy itself.
        constitution: its principles with ``critique`` and ``revision``, for ``domain`` and ``locale``, are drawn from.
        answer: the first one, by whatever wrote it; ``first`` says who, for the record.
        rounds: 4 in the paper.
        seed, key: the principles follow from these and the prompt; ``key`` tells several answers to it apart.
        temperature: of the model; left out, the judge's own.
        critique, revision: templates with the slots of ``CRITIQUE`` and ``REVISION``, for instance with worked
            examples, which keep a small model from mixing the two up. They read any text.

    Two calls a round. Where one brings nothing, ``JudgeError`` is raised; the rows before it are there.
    """
    one = single(judge, "critique and revision")
    usable = constitution.fitting(use="critique", domain=domain, locale=locale)
    drawn = usable.draw(rounds, seed=seed, key=f"{prompt}\0{key}", distinct=False)
    made_of = {
        "constitution": constitution.hash,
        "critique": template_hash(critique),
        "revision": template_hash(revision),
        "model": _model(one),
        "seed": str(seed),
        "first": first,
    }
    now = answer
    for number, principle in enumerate(drawn):
        found = await _write(one, critique, f"{principle.critique}\n\n{_ALONE}", number, temperature,
                             prompt=prompt, answer=now)  # fmt: skip
        better = await _write(one, revision, f"{principle.revision}\n\n{_WHOLE}", number, temperature,
                              prompt=prompt, answer=now, critique=found)  # fmt: skip
        yield Revision(prompt, answer, now, found, better, principle.id, number, made_of)
        now = better


def targets(rows: Iterable[Revision], which: Literal["all", "last"] = "all") -> list[tuple[str, str]]:
    """Prompts with the answers to train on: every revision, as the paper does, or the last of each first answer."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row.prompt, row.answer), []).append(row.revision)
    return [(prompt, text) for (prompt, _), made in found.items() for text in (made if which == "all" else made[-1:])]


async def _write(
    judge: Judge, template: JudgeTemplate, form: str, number: int, temperature: float | None, **slots: str
) -> str:
    """A text, without the tags of the prompt, which models like to repeat."""
    asked = await ask(
        judge, replace(template, form=form), slots, sample=0 if not temperature else number, temperature=temperature
    )
    text = asked.verdict.rationale
    for tag, code in (asked.prompt.codes if asked.prompt else {}).items():
        text = text.replace(f"<{tag}-{code}>", "").replace(f"</{tag}-{code}>", "")
    if not text.strip():
        raise JudgeError(f"{template.file}: the reply holds nothing but tags")
    return text.strip()


def _model(judge: Judge) -> str:
    client: Any = getattr(judge, "client", None)
    return str(client.backend.model) if client is not None else type(judge).__name__
