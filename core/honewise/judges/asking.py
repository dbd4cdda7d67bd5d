"""Putting questions to whatever judge there is, and several at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from honewise.contracts import Generation, Judge, JudgeTemplate, Verdict
from honewise.errors import JudgeError, UserError

from .prompt import Prompt, Slot

__all__ = ["Asked", "ask", "sampled", "single", "together"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a judge said. One that gives verdicts only, such as a stand-in in tests, has neither reply nor prompt."""

    verdict: Verdict
    reply: Generation | None = None
    prompt: Prompt | None = None


async def ask(
    judge: Judge,
    template: JudgeTemplate,
    slots: Mapping[str, Slot],
    *,
    images: Sequence[str] = (),
    sample: int = 0,
    temperature: float | None = None,
    top_logprobs: int | None = None,
) -> Asked:
    """One question to any judge; the last three count where it has a method ``ask`` that knows of them."""
    asking: Any = getattr(judge, "ask", None)
    if asking is None:
        shown = {"images": images} if images else {}
        return Asked(await judge(template, **shown, **slots))
    answer = await asking(
        template, slots, images=images, sample=sample, temperature=temperature, top_logprobs=top_logprobs
    )
    return Asked(answer.verdict, answer.reply, answer.prompt)


async def together(*questions: Awaitable[T]) -> list[T | JudgeError]:
    """All answers, in order; a question without one leaves its ``JudgeError``. Any other error is raised."""
    found = await asyncio.gather(*questions, return_exceptions=True)
    answers: list[T | JudgeError] = []
    for each in found:
        if isinstance(each, BaseException) and not isinstance(each, JudgeError):
            raise each
        answers.append(each)
    return answers


async def sampled(question: Callable[[int], Awaitable[T]], count: int, quorum: float = 0.5) -> list[T]:
    """The answers to one question asked ``count`` times, ``question(sample)`` each, as many as there are.

    Raises ``JudgeError`` where fewer than ``quorum`` of them, or none, can be had.
    """
    found = await together(*(question(sample) for sample in range(count)))
    answers = [each for each in found if not isinstance(each, JudgeError)]
    if len(answers) < max(1, math.ceil(quorum * count - 1e-9)):
        failure = next(each for each in found if isinstance(each, JudgeError))
        said = f"{len(answers)} of {count} samples gave a verdict: " if count > 1 else ""
        raise JudgeError(f"{said}{failure}") from failure
    return answers


def single(judge: Judge, what: str) -> Judge:
    """The judge, where it is one. Raises ``UserError`` for several: of texts there is no mean."""
    if hasattr(judge, "poll"):
        raise UserError(f"{what} needs one judge, and this is a panel; take one of its members")
    return judge
