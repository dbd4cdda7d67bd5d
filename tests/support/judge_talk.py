"""Judges whose model is a function of what they are shown: over HTTP, or in this process where thousands are asked.

Prompts, client, retries, repair and parsing are the real ones in both; only the model is scripted.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from judge_world import judge_at

from honewise.clients import Client, Request
from honewise.contracts import Generation, TokenChoice
from honewise.judges import TemplateJudge
from honewise.testing import FakeEndpoint

T = TypeVar("T")

HERE = "judge_talk"
"""The package of the templates for protocols."""
Reply = str | Mapping[str, Any] | Generation
Model = Callable[[str], Reply]
"""From the text of a prompt to a reply."""

_TAGGED = re.compile(r"(?s)<([a-z_]+(?:-\d+)?)-([0-9a-f]{10})>(.*?)</\1-\2>")


def shown(text: str) -> dict[str, str]:
    """What a judge is shown, by tag, found by the tags alone."""
    return {tag: value for tag, _, value in _TAGGED.findall(text)}


def listed(text: str, slot: str) -> list[str]:
    """The items of a list slot, in the order shown."""
    return [value for tag, value in shown(text).items() if re.fullmatch(rf"{slot}-\d+", tag)]


@contextlib.contextmanager
def talk(model: Model, **settings: Any) -> Iterator[tuple[TemplateJudge, FakeEndpoint]]:
    """A judge at an endpoint on this machine, and the endpoint with all its requests."""

    def reply(messages: Sequence[Mapping[str, Any]]) -> Any:
        return model(
            messages[0]["content"] if isinstance(messages[0]["content"], str) else messages[0]["content"][0]["text"]
        )

    with FakeEndpoint(reply) as endpoint, judge_at(endpoint.url, **settings) as judge:
        yield judge, endpoint


class Scripted:
    """A backend in this process."""

    identity = model = "scripted"

    def __init__(self, answer: Model) -> None:
        self.answer = answer
        self.requests: list[Request] = []

    async def complete(self, request: Request, seconds: float) -> Generation:
        self.requests.append(request)
        content = request.messages[0]["content"]
        made = self.answer(content if isinstance(content, str) else content[0]["text"])
        if isinstance(made, Generation):
            return made
        assert isinstance(made, str)
        return Generation(made)

    async def aclose(self) -> None:
        pass


def scripted(answer: Model) -> TemplateJudge:
    """A judge in this process; ``judge.client.backend.requests`` holds what it was asked."""
    return TemplateJudge(Client(Scripted(answer)))


def run(question: Callable[[], Awaitable[T]] | Awaitable[T], *judges: Any) -> T:
    """Wait for one question; connections of the judges are closed."""

    async def whole() -> T:
        try:
            return await (question() if callable(question) else question)
        finally:
            for judge in judges:
                await judge.aclose()

    return asyncio.run(whole())


def choice(*tokens: tuple[str, Mapping[str, float]]) -> dict[str, Any]:
    """A ``choices[0]`` of these tokens, each with the probabilities of what could have stood there."""
    content = [
        {
            "token": token,
            "logprob": math.log(told.get(token, 1.0)),
            "top_logprobs": [{"token": other, "logprob": math.log(p)} for other, p in told.items()],
        }
        for token, told in tokens
    ]
    text = "".join(token for token, _ in tokens)
    return {"message": {"content": text}, "finish_reason": "stop", "logprobs": {"content": content}}


def generation(*tokens: tuple[str, Mapping[str, float]]) -> Generation:
    """The same as a reply in this process."""
    told = tuple(
        TokenChoice(token, math.log(p.get(token, 1.0)), tuple((other, math.log(q)) for other, q in p.items()))
        for token, p in tokens
    )
    return Generation("".join(token for token, _ in tokens), logprobs=told)
