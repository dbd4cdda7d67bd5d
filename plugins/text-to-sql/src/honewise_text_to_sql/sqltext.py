"""SQL as text and as a tree: a linear tokeniser of our own, and one guarded, cached sqlglot parse per text.

The tokeniser never fails and never backtracks. The parser is only asked about texts of bounded length, nesting and
number of tokens, so that nothing a model writes can keep it busy.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

__all__ = ["Word", "parse_sql", "split_statements", "words"]

MAX_CHARACTERS = 20_000
MAX_WORDS = 4_000
MAX_NESTING = 40

_WORD = re.compile(
    r"""
      (?P<skip>\s+|--[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?)
    | (?P<text>'(?:[^']|'')*'?)
    | (?P<name>"(?:[^"]|"")*"?|`[^`]*`?|\[[^\]]*\]?)
    | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<sign><>|!=|<=|>=|==|\|\||<<|>>|->>|->|.)
    """,
    re.VERBOSE | re.DOTALL,
)

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns about what it cannot parse; here that is a score


@dataclass(frozen=True, slots=True)
class Word:
    """One lexical word of a query at ``[start, end)``. ``text`` is what two queries are compared by."""

    text: str
    start: int
    end: int


def words(sql: str) -> list[Word]:
    """The words of a query, without blanks and comments.

    Words and quoted names are compared without case and without their quotes; strings are compared as written.

    >>> [word.text for word in words("SELECT COUNT(*) FROM [Order Details] -- all")]
    ['select', 'count', '(', '*', ')', 'from', 'order details']
    """
    found: list[Word] = []
    for match in _WORD.finditer(sql):
        kind = match.lastgroup
        if kind == "skip":
            continue
        text = match[0]
        if kind == "name":
            text = text[1:-1].lower() if len(text) > 1 else text
        elif kind == "word":
            text = text.lower()
        elif text in ("<>", "=="):
            text = "!=" if text == "<>" else "="
        found.append(Word(text, match.start(), match.end()))
    return found


def split_statements(sql: str) -> list[str]:
    """The statements of a text that separates them by ``;``, which inside quotes and comments does not count.

    >>> split_statements("SELECT ';'; SELECT 2;")
    ["SELECT ';'", 'SELECT 2']
    """
    parts: list[str] = []
    start = 0
    for match in _WORD.finditer(sql):
        if match.lastgroup == "sign" and match[0] == ";":
            parts.append(sql[start : match.start()])
            start = match.end()
    parts.append(sql[start:])
    return [part.strip() for part in parts if part.strip()]


@lru_cache(maxsize=128)  # trees are large; what is read off them is remembered elsewhere
def parse_sql(sql: str) -> exp.Expr | None:
    """The tree of the one SELECT (or WITH, VALUES, compound) in ``sql``; None where there is none to be read.

    Reads SQLite's dialect. Identifiers carry their place in ``meta["start"]`` and ``meta["end"]`` (inclusive).
    The tree is shared: do not change it.
    """
    if not _modest(sql):
        return None
    try:
        trees = [tree for tree in sqlglot.parse(sql, read="sqlite") if tree is not None]
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return None  # the last five: the parser's own slips on odd input
    if len(trees) != 1 or not isinstance(trees[0], exp.Query | exp.Values):
        return None
    return trees[0]


def _modest(sql: str) -> bool:
    if len(sql) > MAX_CHARACTERS or "\x00" in sql:
        return False
    found = words(sql)
    return len(found) <= MAX_WORDS and _nesting(found) <= MAX_NESTING


def _nesting(found: Sequence[Word]) -> int:
    deepest = depth = 0
    for word in found:
        if word.text in ("(", "case"):
            depth += 1
            deepest = max(deepest, depth)
        elif word.text in (")", "end"):
            depth -= 1
    return deepest
