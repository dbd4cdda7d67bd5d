"""The judge that rewards ask: a template filled in, put to a model, read by the template's own parser."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from honewise.clients import CallRecord, Client, Request, Spent
from honewise.clients.images import as_url
from honewise.contracts import Generation, JudgeTemplate, Message, Verdict
from honewise.errors import JudgeError

from .prompt import NOTICE, Prompt, Slot, compose, fill

__all__ = ["Answer", "TemplateJudge", "plain_request"]

_SHOWN = 160
_REPAIR = (
    "That reply holds no verdict in the form that was asked for ({why}). Give your verdict again, in exactly that form,"
    " and nothing else."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict and what it was read from."""

    verdict: Verdict
    reply: Generation
    prompt: Prompt
    repaired: bool = False
    """The model was asked a second time, because no verdict could be read from its first reply."""


class TemplateJudge:
    """A ``Judge`` on one model.

    Args:
        client: the model, with retries, cache, budget and ledger.
        temperature, top_p, max_tokens: how it is sampled; 0 is greedy.
        seed: goes to the endpoint where it is not None.

    Where no verdict can be read from a reply, the model is told why and asked once more; then ``JudgeError`` is raised.
    """

    keeps_deadlines = True
    """A reward that waits for this judge is not on the clock: the client has deadlines of its own."""

    def __init__(
        self,
        client: Client,
        *,
        temperature: float = 0.0,
        top_p: float = 1.0,
        max_tokens: int = 512,
        seed: int | None = None,
    ) -> None:
        self.client = client
        self.base = Request((), temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)

    async def __call__(self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: Slot) -> Verdict:
        return (await self.ask(template, slots, images=images)).verdict

    async def ask(
        self,
        template: JudgeTemplate,
        slots: Mapping[str, Slot],
        *,
        images: Sequence[str] = (),
        sample: int = 0,
        temperature: float | None = None,
        top_logprobs: int | None = None,
    ) -> Answer:
        """What ``judge(template, **slots)`` does, with more in hand for protocols that are made of several questions.

        Args:
            template, slots, images: the question.
            sample: tells independent answers to one question apart.
            temperature: in place of the judge's own.
            top_logprobs: asks for the log-probabilities of the reply's tokens and of so many likeliest ones at each
                place; ``reply.logprobs`` is empty where the endpoint gives none.

        Raises ``JudgeError`` without a verdict, ``UserError`` where slots and template do not fit, and
        ``JudgeBudgetExceeded``.
        """
        prompt = compose(template, slots)
        request = replace(
            self.base,
            messages=({"role": "user", "content": _content(prompt.text, images)},),
            template=template.file,
            template_hash=prompt.template_hash,
            sample=sample,
            temperature=self.base.temperature if temperature is None else temperature,
            top_logprobs=top_logprobs,
            schema=template.schema,
        )
        reply, record = await self.client.complete(request)
        try:
            return Answer(_verdict(template, reply, record), reply, prompt)
        except ValueError as error:
            why = _short(error)
        again: list[Message] = [
            {"role": "assistant", "content": reply.text},
            {"role": "user", "content": _REPAIR.format(why=why)},
        ]
        reply, record = await self.client.complete(replace(request, messages=(*request.messages, *again)))
        try:
            return Answer(_verdict(template, reply, record), reply, prompt, repaired=True)
        except ValueError as error:
            cut = " (cut off at max_tokens)" if reply.truncated else ""
            raise JudgeError(
                f"{template.file}: {_short(error)}; the second reply{cut}: {_short(reply.text)!r}"
            ) from None

    @property
    def members(self) -> Mapping[str, TemplateJudge]:
        """Who is asked: this one; a ``Panel`` has several."""
        return {"judge": self}

    @property
    def concurrency(self) -> int:
        """Most calls at a time."""
        return self.client.patience.concurrency

    def take_calls(self) -> list[CallRecord]:
        """The ledger's records since the last time."""
        return self.client.ledger.take()

    def charge(self, spent: Spent) -> None:
        """Count against the budget what was spent before."""
        self.client.charge(spent)

    async def aclose(self) -> None:
        """Let go of what belongs to the running event loop."""
        await self.client.aclose()

    def close(self) -> None:
        """Close the cache. The judge cannot be asked after that."""
        if self.client.cache is not None:
            self.client.cache.close()

    def __enter__(self) -> TemplateJudge:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def plain_request(
    judge: TemplateJudge,
    text: str,
    slots: Mapping[str, str],
    *,
    images: Sequence[str] = (),
    template: str = "",
    template_hash: str = "",
) -> tuple[str, Request]:
    """The prompt that a template's ``text`` makes, and the request with it, for a template that has no parser yet."""
    filled, _ = fill(text, slots)
    prompt = f"{NOTICE}\n\n{filled}"
    message: Message = {"role": "user", "content": _content(prompt, images)}
    return prompt, replace(judge.base, messages=(message,), template=template, template_hash=template_hash)


def _content(text: str, images: Sequence[str]) -> str | list[dict[str, object]]:
    if not images:
        return text
    shown: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": as_url(image)}} for image in images]
    return [{"type": "text", "text": text}, *shown]


def _verdict(template: JudgeTemplate, reply: Generation, record: CallRecord) -> Verdict:
    """Raises ``ValueError`` where the reply holds none, and ``JudgeError`` where the parser itself is at fault."""
    try:
        verdict = template.parse(reply.text)
    except ValueError:
        raise
    except Exception as error:
        raise JudgeError(f"the parser of {template.file} raised {type(error).__name__}: {_short(error)}") from error
    if not isinstance(verdict, Verdict):
        raise JudgeError(f"the parser of {template.file} returned {type(verdict).__name__}, not a Verdict")
    if not math.isfinite(verdict.value):
        raise ValueError(f"the verdict {verdict.value} is no finite number")
    record.verdict = float(verdict.value)
    return verdict


def _short(what: object) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
