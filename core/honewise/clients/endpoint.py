"""An OpenAI-compatible chat endpoint: vLLM, Ollama, llama.cpp, a hosted service. One attempt at a time."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from honewise.contracts import Generation
from honewise.errors import MissingExtra, UserError

from .loops import PerLoop
from .reading import read_reply, status_failure
from .request import CallFailed, Request

__all__ = ["Endpoint"]

Feature = Literal["response_format", "logprobs"]
Switch = Literal["auto", "on", "off"]

_REFUSED = (400, 404, 405, 415, 422, 501)
_WORDS: Mapping[Feature, tuple[str, ...]] = {
    "response_format": ("response_format", "json_schema", "guided", "structured"),
    "logprobs": ("logprobs",),
}
"""How refusals name what they refuse."""

_NO_KEY = "none"
"""Sent where no key is configured: the library wants one, endpoints of one's own look at none."""


@dataclass(frozen=True, slots=True)
class _Session:
    """What belongs to one event loop."""

    client: Any
    probing: asyncio.Lock
    """Held while a call finds out what the endpoint refuses."""


class Endpoint:
    """One model behind one address.

    Args:
        url: the base address, such as ``http://127.0.0.1:8000/v1``.
        model: the model's name there.
        key_env: the name of the environment variable with the key. The key is read when it is used, stands in no
            attribute, and is replaced by a word in every message that the endpoint sends.
        structured: whether to ask for JSON by ``response_format``: ``auto`` tries once, and goes on without where the
            endpoint refuses it.
        logprobs: the same for log-probabilities.
        extra: further fields of every request's body.
        identity: what the cache knows the model as, beside a hash of ``extra``; left out, ``model`` at ``url``.
        note: told, once, what the endpoint cannot do.

    Raises ``MissingExtra`` without the openai library, and ``UserError`` where ``key_env`` is not set.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key_env: str | None = None,
        structured: Switch = "auto",
        logprobs: Switch = "auto",
        extra: Mapping[str, Any] | None = None,
        identity: str | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url, self.model = url.rstrip("/"), model
        self._key_env, self._extra, self._note = key_env, dict(extra or {}), note
        told = json.dumps(self._extra, sort_keys=True, default=str) if self._extra else ""
        # As a hash, since further fields may hold what is nobody else's business.
        tail = f" with {hashlib.sha256(told.encode()).hexdigest()[:8]}" if told else ""
        self.identity = (identity or f"{model} @ {self.url}") + tail
        known: Mapping[Switch, bool | None] = {"auto": None, "on": True, "off": False}
        self._can: dict[Feature, bool | None] = {
            "response_format": known[structured],
            "logprobs": known[logprobs],
        }
        self._limit_name = "max_tokens"
        self._sessions: PerLoop[_Session] = PerLoop(self._open)
        _library()
        self._key()

    async def complete(self, request: Request, seconds: float) -> Generation:
        """One answer; an attempt may take ``seconds``. Raises ``CallFailed``."""
        give_up = time.monotonic() + seconds
        if self._unknown(request):
            # One call finds out what is refused; the others wait for that, and are then sent side by side.
            probing = self._sessions.here().probing
            try:
                async with asyncio.timeout(seconds):
                    await probing.acquire()
            except TimeoutError as error:
                raise self._failure(error, seconds) from None
            try:
                if self._unknown(request):
                    return await self._find_out(request, _left(give_up))
            finally:
                probing.release()
        return await self._send(request, self._wanted(request), _left(give_up))

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        session = self._sessions.leave()
        if session is not None:
            with contextlib.suppress(Exception):
                await session.client.close()

    async def models(self, seconds: float = 10.0) -> list[str]:
        """The names of the models that the endpoint lists; empty where it keeps no list. Raises ``CallFailed``."""
        try:
            async with asyncio.timeout(seconds):
                raw = await self._sessions.here().client.models.with_raw_response.list()
                body: bytes = raw.content
        except Exception as error:
            failure = self._failure(error, seconds)
            if failure.status in (404, 405, 501):
                return []
            raise failure from None
        with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
            return [str(each["id"]) for each in json.loads(body)["data"]]
        return []

    def _unknown(self, request: Request) -> list[Feature]:
        """What is wanted, and may be refused for all that is known."""
        return [feature for feature in self._wanted(request) if self._can[feature] is None]

    def _wanted(self, request: Request) -> list[Feature]:
        wanted: list[Feature] = []
        if request.schema is not None and self._can["response_format"] is not False:
            wanted.append("response_format")
        if request.top_logprobs is not None and self._can["logprobs"] is not False:
            wanted.append("logprobs")
        return wanted

    async def _find_out(self, request: Request, seconds: float) -> Generation:
        """Send with all that is wanted and, where that is refused, without what the refusal names."""
        dropped: list[Feature] = []
        while True:
            wanted = [feature for feature in self._wanted(request) if feature not in dropped]
            unknown = [feature for feature in wanted if self._can[feature] is None]
            try:
                reply = await self._send(request, wanted, seconds)
            except CallFailed as failure:
                if failure.status not in _REFUSED or not unknown:
                    raise
                named = [name for name in unknown if any(word in failure.reason for word in _WORDS[name])]
                dropped += named or unknown
                continue
            self._can |= dict.fromkeys(unknown, True) | dict.fromkeys(dropped, False)
            for feature in dropped:
                self._note(f"judge: {self.model} at {self.url} refuses {feature}; going on without")
            return reply

    async def _send(self, request: Request, wanted: list[Feature], seconds: float) -> Generation:
        name = self._limit_name
        try:
            return await self._post(self._body(request, wanted, name), request, seconds)
        except CallFailed as failure:
            if failure.status not in _REFUSED or name not in failure.reason:
                raise
        # Some services know the limit of tokens under its newer name only.
        other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
        reply = await self._post(self._body(request, wanted, other), request, seconds)
        self._limit_name = other
        return reply

    async def _post(self, body: Mapping[str, Any], request: Request, seconds: float) -> Generation:
        try:
            async with asyncio.timeout(seconds):
                raw = await self._sessions.here().client.chat.completions.with_raw_response.create(**body)
                content: bytes = raw.content
        except Exception as error:
            raise self._failure(error, seconds) from None
        return read_reply(self._clean(content.decode("utf-8", "replace")).encode("utf-8"), _words(request))

    def _body(self, request: Request, wanted: list[Feature], limit_name: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [dict(message) for message in request.messages],
            "temperature": request.temperature,
            limit_name: request.max_tokens,
        }
        if request.top_p < 1:
            body["top_p"] = request.top_p
        if request.seed is not None:
            body["seed"] = request.seed
        if "response_format" in wanted:
            schema = {"name": "verdict", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "logprobs" in wanted:
            body |= {"logprobs": True, "top_logprobs": request.top_logprobs}
        if self._extra:
            body["extra_body"] = self._extra
        return body

    def _open(self) -> _Session:
        openai = _library()
        # The library would send an organisation and a project of the environment's to whatever address this is.
        absent = {"OpenAI-Organization": openai.omit, "OpenAI-Project": openai.omit}
        client = openai.AsyncOpenAI(
            base_url=self.url,
            api_key=self._key() or _NO_KEY,
            max_retries=0,
            timeout=None,
            default_headers=absent,
            # The library's own one, where it is not closed, is closed on whatever loop runs when it is collected.
            http_client=openai.DefaultAsyncHttpxClient(timeout=None),
        )
        return _Session(client, asyncio.Lock())

    def _key(self) -> str | None:
        if self._key_env is None:
            return None
        key = os.environ.get(self._key_env, "").strip()
        if not key:
            raise UserError(f"judge.api_key_env: the environment variable {self._key_env} is not set")
        return key

    def _clean(self, text: str) -> str:
        """Without the key, which some endpoints repeat in what they send."""
        key = os.environ.get(self._key_env or "", "").strip()
        return text.replace(key, "(hidden)") if len(key) >= 6 else text

    def _failure(self, error: Exception, seconds: float) -> CallFailed:
        openai = _library()
        if isinstance(error, CallFailed | UserError):
            return error if isinstance(error, CallFailed) else CallFailed(str(error))
        if isinstance(error, TimeoutError | openai.APITimeoutError):
            return CallFailed(f"no reply within {seconds:g} s", transient=True, overloaded=True, down=True)
        if isinstance(error, openai.APIStatusError):
            text = error.body if isinstance(error.body, str) else _message(error.body) or error.message
            return status_failure(error.status_code, self._clean(str(text)), error.response.headers)
        if isinstance(error, openai.APIConnectionError):
            cause = error.__cause__ or error
            why = self._clean(str(cause)) or type(cause).__name__
            return CallFailed(f"{self.url} cannot be reached: {why}", transient=True, down=True)
        return CallFailed(f"{type(error).__name__}: {self._clean(str(error))}"[:500])


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0.01)


def _message(body: object) -> str:
    found = body.get("message") or body.get("detail") or body.get("error") if isinstance(body, Mapping) else None
    code = body.get("code") if isinstance(body, Mapping) else None
    return f"{found or body or ''}{f' ({code})' if code else ''}"


def _words(request: Request) -> str:
    """The text of a conversation, without its pictures."""
    parts: list[str] = []
    for message in request.messages:
        content = message.get("content", "")
        pieces = [{"text": content}] if isinstance(content, str) else content
        parts += [str(piece.get("text", "")) for piece in pieces]
    return "\n".join(parts)


def _library() -> Any:
    try:
        import openai
        import openai.resources.chat.completions  # now: it takes a second that no event loop has to spare
    except ImportError:
        raise MissingExtra("a judge at an endpoint", "honewise[judge]") from None
    return openai
