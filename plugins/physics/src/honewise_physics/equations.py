"""Finding equations in running text: chains ``a = b = c`` with the characters that each side stands on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from .lexer import MOST_CHARACTERS, Token, tokens
from .units import unit_named

__all__ = ["MOST_TEXT", "Chain", "Side", "chains"]

MOST_TEXT = 20_000
"""Characters of a solution that are looked at; what follows is not."""
MOST_LINES = 400
MOST_CHAINS = 200

_STOP = frozenset(
    [
        "so",
        "is",
        "of",
        "to",
        "we",
        "at",
        "by",
        "it",
        "on",
        "or",
        "as",
        "be",
        "if",
        "in",
        "the",
        "and",
        "then",
        "with",
        "from",
        "for",
        "is",
        "are",
        "was",
        "that",
        "this",
        "thus",
        "hence",
        "since",
        "gives",
        "where",
        "which",
        "therefore",
        "because",
        "its",
        "has",
        "have",
        "an",
    ]
)
_BREAKS = frozenset((";", ",", "<", ">", ":", "!", "|"))
_SENTENCE = re.compile(r"\.(?=\s|$)|[\n\r]+|</?\w{1,20}>|\\\\|\\\[|\\\]|\\begin\{\w{1,20}\*?\}|\\end\{\w{1,20}\*?\}")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a chain: its tokens, and where it stands in the whole text."""

    tokens: tuple[Token, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chain:
    """``sides[0] = sides[1] = ...``; ``about[i]`` says that an approximate sign stands before side i + 1."""

    sides: tuple[Side, ...]
    about: tuple[bool, ...]


def chains(text: str, start: int = 0) -> Iterator[Chain]:
    """The equations of a text that begins at character ``start`` of the completion, in order.

    A chain ends where a sentence, a line, a list or a word does; sides without any token make no chain.
    """
    every = (
        chain
        for at, sentence in _sentences(text[:MOST_TEXT])
        for run in _runs(_tokens(sentence))
        if (chain := _chain(run, start + at)) is not None
    )
    yield from islice(every, MOST_CHAINS)


def _tokens(sentence: str) -> list[Token]:
    """Those of a sentence that has an equation; none where it has not, or is too long."""
    found = tokens(sentence) if len(sentence) <= MOST_CHARACTERS else None
    return found if found and any(token.text in ("=", "~") for token in found) else []


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for match in islice(_SENTENCE.finditer(text), MOST_LINES):
        yield at, text[at : match.start()]
        at = match.end()
    if "\n" not in text[at:]:
        yield at, text[at:]


def _runs(found: list[Token]) -> Iterator[list[Token]]:
    run: list[Token] = []
    depth = 0
    for token in found:
        if token.kind == "sign" and token.text in "([{":
            depth += 1
        elif token.kind == "sign" and token.text in ")]}":
            depth = max(0, depth - 1)
        if token.kind == "other" or (token.kind == "sign" and token.text in _BREAKS) or _is_word(token):
            yield run
            run, depth = [], 0
            continue
        run.append(token)
    yield run


def _is_word(token: Token) -> bool:
    if token.kind != "name":
        return False
    name = token.text.lower()
    if name in _STOP:
        return True
    return len(name) >= 3 and name.isalpha() and name.isascii() and unit_named(token.text) is None


def _chain(run: list[Token], offset: int) -> Chain | None:
    sides: list[list[Token]] = [[]]
    about: list[bool] = []
    depth = 0
    for token in run:
        if token.kind == "sign":
            depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        if token.kind == "sign" and token.text in ("=", "~") and depth <= 0:
            sides.append([])
            about.append(token.text == "~")
        else:
            sides[-1].append(token)
    if len(sides) < 2 or not any(sides):
        return None
    made = [
        Side(tuple(side), offset + side[0].start, offset + max(token.end for token in side))
        if side
        else Side((), offset, offset)
        for side in sides
    ]
    return Chain(tuple(made), tuple(about))
