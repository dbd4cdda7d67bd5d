"""What is asked of a language model, who answers, and how an attempt fails."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from honewise.contracts import Generation, Message
from honewise.errors import JudgeError

__all__ = ["Backend", "CallFailed", "Request"]

KEY_FORMAT = 1
"""Part of every key: raised where a reply would be read otherwise than before."""


@dataclass(frozen=True, slots=True)
class Request:
    """One conversation to be answered once. Equal requests have one answer, which is what the cache is about."""

    messages: tuple[Message, ...]
    template: str = ""
    """The judge template's file, by which calls are counted and cached replies pruned."""
    template_hash: str = ""
    """SHA-256 of the template's text."""
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = None
    sample: int = 0
    """Tells independent answers to one conversation apart, such as votes."""
    top_logprobs: int | None = None
    """How many likeliest tokens to tell at each place; 0: the chosen token's log-probability only; None: nothing."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema to hold the reply to, where the model can be held to one."""

    def key(self, identity: str) -> str:
        """SHA-256, in hex, of everything that the answer of the model called ``identity`` depends on."""
        parts = [
            KEY_FORMAT,
            identity,
            self.template_hash,
            [dict(message) for message in self.messages],
            [self.temperature, self.top_p, self.max_tokens, self.seed, self.sample, self.top_logprobs],
            self.schema,
        ]
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class CallFailed(JudgeError):
    """One attempt brought no answer.

    Args:
        reason: one line, without secrets.
        transient: another attempt may succeed.
        overloaded: the other side has too much to do, so that fewer calls at a time would help.
        down: the other side was not reached, or did not answer in time.
        retry_after: seconds that it asks to wait.
        status: of HTTP, where there was one.
    """

    def __init__(
        self,
        reason: str,
        *,
        transient: bool = False,
        overloaded: bool = False,
        down: bool = False,
        retry_after: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.transient, self.overloaded, self.down = reason, transient, overloaded, down
        self.retry_after, self.status = retry_after, status


class Backend(Protocol):
    """Makes one attempt at a time; retries, cache and accounts are the client's."""

    @property
    def identity(self) -> str:
        """What the cache knows the model as."""
        ...

    @property
    def model(self) -> str:
        """The model's name, for people."""
        ...

    async def complete(self, request: Request, seconds: float) -> Generation:
        """Raises ``CallFailed`` where there is no answer within ``seconds``."""
        ...

    async def aclose(self) -> None:
        """Let go of what belongs to the running event loop."""
        ...
