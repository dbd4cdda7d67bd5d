"""Reading what a chat endpoint sent: strictly, since anything may come; and saying why it cannot be used."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from honewise.contracts import Generation, TokenChoice

from .request import CallFailed

__all__ = ["read_reply", "retry_after", "status_failure"]

_OVERLOADED = frozenset({429, 503, 529})
_TRANSIENT = frozenset({408, 409, 425, *_OVERLOADED})
_SHOWN = 300
_LONGEST = 16 << 20
_MOST_TOKENS = 1 << 40
"""What is more is no count, and would fit no store."""


def read_reply(body: bytes, prompt: str = "") -> Generation:
    """The one answer in a body of ``/chat/completions``.

    ``prompt`` is the text that was sent, from which tokens are estimated (four bytes each) where none are reported.
    Raises ``CallFailed``: transient where the body is not what was asked for, final where the model refused.
    """
    if len(body) > _LONGEST:
        raise _odd(f"a body of {len(body)} bytes")
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise _odd(f"no JSON: {_short(body.decode('utf-8', 'replace'))!r}") from None
    choices = data.get("choices") if isinstance(data, Mapping) else None
    if not isinstance(choices, list):
        error = data.get("error") if isinstance(data, Mapping) else None
        raise _odd(f"no choices{f': {_short(error)}' if error else ''}")
    if len(choices) != 1:
        raise _odd(f"{len(choices)} choices, where one was asked for")
    choice = choices[0] if isinstance(choices[0], Mapping) else {}
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise _odd("a choice without a message")
    finish = choice.get("finish_reason")
    if message.get("refusal"):
        raise CallFailed(f"the model refused: {_short(message['refusal'])}")
    if finish == "content_filter":
        raise CallFailed("refused by the endpoint's content filter")
    text = _text(message.get("content"))
    if not text and finish != "length":
        raise _odd("an empty reply")
    usage = data.get("usage")
    prompt_tokens = _count(usage, "prompt_tokens", prompt)
    return Generation(
        text, prompt_tokens, _count(usage, "completion_tokens", text), finish == "length", _logprobs(choice)
    )


def status_failure(status: int, text: str, headers: Mapping[str, str]) -> CallFailed:
    """What a status of 400 or more means for the call."""
    quota = "insufficient_quota" in text
    transient = (status in _TRANSIENT or status >= 500) and status != 501 and not quota
    return CallFailed(
        f"HTTP {status}{f': {_short(text)}' if text else ''}",
        transient=transient,
        overloaded=status in _OVERLOADED and not quota,
        down=status in (502, 503, 504),
        retry_after=retry_after(headers),
        status=status,
    )


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait by ``retry-after-ms`` or ``retry-after``, which holds seconds or a date; None where neither does.

    >>> retry_after({"retry-after": "1.5"})
    1.5
    >>> retry_after({"retry-after": "Thu, 01 Jan 2026 00:00:30 GMT"}, datetime(2026, 1, 1, tzinfo=UTC))
    30.0
    """
    milliseconds, seconds = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    found = _number(seconds)
    if found is not None:
        return max(0.0, found)
    try:
        when = parsedate_to_datetime(seconds or "")
    except (TypeError, ValueError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _odd(what: str) -> CallFailed:
    return CallFailed(f"the endpoint sent {what}", transient=True)


def _short(what: object) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _text(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        parts = [part.get("text", "") for part in content if isinstance(part, Mapping)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise _odd(f"a reply that is {type(content).__name__}, not text")
    return _storable(content)


def _storable(text: str) -> str:
    """Without lone surrogates, which JSON may carry and no store takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _count(usage: object, name: str, text: str) -> int:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS:
        return value
    return -(-len(text.encode("utf-8", "replace")) // 4)


def _logprobs(choice: Mapping[str, Any]) -> tuple[TokenChoice, ...]:
    found = choice.get("logprobs")
    content = found.get("content") if isinstance(found, Mapping) else None
    if not isinstance(content, list):
        return ()
    try:
        return tuple(
            TokenChoice(
                _storable(str(each["token"])),
                float(each["logprob"]),
                tuple((_storable(str(top["token"])), float(top["logprob"])) for top in each.get("top_logprobs") or ()),
            )
            for each in content
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _odd("log-probabilities that cannot be read") from None
