"""SQLite's lexical rules, as far as telling words from strings, quoted names and comments needs them.

Linear in the length of the text, whatever the text is: each alternative is possessive.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Token", "only_statement", "tokens"]

_TOKEN = re.compile(
    r"""
      (?P<blank>(?: [\ \t\n\f\r\ufeff] | --[^\n]*+ | /\*(?s:.)*?(?:\*/|\Z) )++)
    | (?P<string>'(?:[^']++|'')*+'?)
    | (?P<name>"(?:[^"]++|"")*+"? | `(?:[^`]++|``)*+`? | \[[^\]]*+\]?)
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*+)
    | (?P<number>[0-9][A-Za-z0-9_.]*+)
    | (?P<symbol>(?s:.))
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str
    """``string``, ``name`` (a quoted one), ``word``, ``number`` or ``symbol`` (one character)."""
    text: str
    start: int


def tokens(sql: str) -> Iterator[Token]:
    """The tokens of ``sql`` without blanks and comments. Total: an open quote or comment runs to the end."""
    for match in _TOKEN.finditer(sql):
        if match.lastgroup != "blank":
            yield Token(match.lastgroup or "symbol", match[0], match.start())


def only_statement(sql: str) -> str | None:
    """``sql`` without the semicolons around its one statement; None where there are several."""
    start, end = None, len(sql)
    for token in tokens(sql):
        if token.kind == "symbol" and token.text == ";":
            if start is not None:
                end = min(end, token.start)
        elif start is None:
            start = token.start
        elif token.start > end:
            return None
    return sql[start:end] if start is not None else ""
