"""How likely each verdict was, from the log-probabilities of the tokens of a reply.

Tokens are not verdicts: "7", " 7" and "**7" are one verdict, "10" may be one token or two, and a word may begin with
any piece of it. What cannot be told apart is left out and lowers the mass; it is never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honewise.contracts import Generation, TokenChoice

from .read import MARKS

__all__ = ["Distribution", "distribution"]

_AROUND = MARKS + ".,:;!\n\r▁Ġ"


@dataclass(frozen=True, slots=True)
class Distribution:
    """Probabilities of the verdicts on offer."""

    shares: Mapping[str, float]
    """By verdict; they add up to 1, or to 0 where no verdict was among the likeliest tokens."""
    mass: float
    """The probability of all verdicts together before they were made to add up to 1. The rest was on other tokens, on
    tokens that were not told, or on such as begin several verdicts."""

    def mean(self, values: Mapping[str, float]) -> float:
        """The expected value."""
        return math.fsum(share * values[word] for word, share in self.shares.items())


def distribution(reply: Generation, menu: Sequence[str], *, label: str = "") -> Distribution | None:
    """Probabilities of the words in ``menu`` where the reply says its verdict: after the last line ``LABEL:``, or in a
    reply of one line at its beginning.

    A token counts for a word that it is, or that alone begins with it. Where it is one word and begins another ("1" and
    "10"), it is the shorter one if the longer stands among the likeliest tokens too, since then tokens hold it whole;
    else, where the reply itself took this token, the next place tells them apart; else it counts for neither.

    None where the reply has no log-probabilities, or says no verdict.
    """
    place = _place(reply.logprobs, label)
    if place is None:
        return None
    words = {word.casefold(): word for word in menu}
    said = _core(reply.logprobs[place].token)
    alternatives = _alternatives(reply.logprobs[place])
    found = dict.fromkeys(menu, 0.0)
    for text, probability in alternatives.items():
        options = [word for word in words if word.startswith(text)]
        if len(options) == 1 or (text in words and any(word != text and word in alternatives for word in options)):
            found[words[text if text in words else options[0]]] += probability
        elif options and text == said:
            for word, share in _continued(reply.logprobs[place + 1 :], text, options).items():
                found[words[word]] += probability * share
    mass = math.fsum(found.values())
    return Distribution({word: each / mass if mass else 0.0 for word, each in found.items()}, min(mass, 1.0))


def _continued(following: Sequence[TokenChoice], begun: str, options: Sequence[str]) -> dict[str, float]:
    """How a token that begins several words goes on: the shares of those words."""
    if not following:  # the reply ended here
        return {begun: 1.0} if begun in options else {}
    shares: dict[str, float] = {}
    for token, probability in _raw(following[0]).items():
        if token and not token[0].isspace() and (more := _core(token)):
            goes_on = [word for word in options if word != begun and word.startswith(begun + more)]
            if len(goes_on) == 1:
                shares[goes_on[0]] = shares.get(goes_on[0], 0.0) + probability
    if begun in options:
        shares[begun] = max(0.0, 1.0 - math.fsum(shares.values()))
    return shares


def _place(tokens: Sequence[TokenChoice], label: str) -> int | None:
    """The index of the token with which the verdict begins."""
    text = "".join(choice.token for choice in tokens)
    lines = text.splitlines(keepends=True)
    begins: int | None = None
    at = 0
    for line in lines:
        head, colon, _ = line.partition(":")
        if label and colon and head.strip(MARKS).casefold() == label.casefold():
            begins = at + len(head) + 1
        at += len(line)
    if begins is None:
        if len([line for line in lines if line.strip()]) != 1:
            return None
        begins = 0
    while begins < len(text) and text[begins] in _AROUND:
        begins += 1
    end = 0
    for place, choice in enumerate(tokens):
        end += len(choice.token)
        if begins < end:
            return place
    return None


def _alternatives(choice: TokenChoice) -> dict[str, float]:
    """What could have stood there, without what stands around words; equal texts together."""
    found: dict[str, float] = {}
    for token, probability in _raw(choice).items():
        text = _core(token)
        if text:
            found[text] = found.get(text, 0.0) + probability
    return found


def _raw(choice: TokenChoice) -> dict[str, float]:
    told = {choice.token: choice.logprob, **dict(choice.top)}
    return {token: math.exp(min(logprob, 0.0)) for token, logprob in told.items()}


def _core(token: str) -> str:
    return token.strip(_AROUND).strip().casefold()
