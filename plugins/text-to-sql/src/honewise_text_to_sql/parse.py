"""Reading a completion: reasoning, answer, the query in it, and the tags where they stand.

The form asked for is ``<reasoning>..</reasoning><answer>..</answer>`` with the query in a ```` ```sql ```` block. What
models write instead is read as far as its meaning is plain:

- the answer is what stands in the last ``<answer>`` tag that has anything in it; a closing tag that is missing is taken
  to stand at the end, an opening one that is missing after the reasoning;
- the query is the last fenced block of the answer, else all of the answer;
- without answer tags it is the last ```` ```sql ```` block of the text, else the whole text where that begins like a
  query.

Anything else is unreadable: ``answer`` is None, and that is the model's doing.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from honewise import Completion, Piece, Task

__all__ = ["TAGS", "parse"]

TAGS = ("<reasoning>", "</reasoning>", "<answer>", "</answer>")

_TAG = re.compile(r"</?(?:reasoning|answer)>", re.IGNORECASE)
_FENCE = re.compile(r"```[ \t]*(\w*)[ \t]*\r?\n?")
# Possessive, so that long runs of blanks take linear time.
_QUERY = re.compile(r"\s*+(?:--[^\n]*+\n\s*+)*+(?:\(\s*+)*+(?:select|with|values)\b", re.IGNORECASE)


class _Tag(NamedTuple):
    name: str
    """In lower case."""
    start: int
    end: int


def parse(text: str, _task: Task) -> Completion:
    """A ``Completion`` whose ``answer`` is the SQL text, or None. Takes time linear in the text.

    Pieces, each only where it is there: ``reasoning``, ``answer``, ``sql``, and the first place of each tag under
    the tag itself, ``"<answer>"`` and so on.
    """
    tags = [_Tag(match[0].lower(), match.start(), match.end()) for match in _TAG.finditer(text)]
    whole = Piece(text)
    pieces: dict[str, Piece] = {}
    for tag in tags:
        if tag.name not in pieces:
            pieces[tag.name] = whole.slice(tag.start, tag.end)
    reasoning = _between(whole, tags, "reasoning")
    if reasoning is not None:
        pieces["reasoning"] = reasoning
    answer = _between(whole, tags, "answer")
    if answer is not None:
        pieces["answer"] = answer
        sql: Piece | None = _fenced(answer, any_language=True) or _stripped(answer)
    else:
        rest = _after_reasoning(whole, tags)
        sql = _fenced(rest, any_language=False) or _bare(rest)
    if sql is None or not sql.text:
        return Completion(text, None, pieces)
    pieces["sql"] = sql
    return Completion(text, sql.text, pieces)


def _between(whole: Piece, tags: list[_Tag], name: str) -> Piece | None:
    """What stands between the last pair of ``name`` tags that has anything in it, one of which may be missing."""
    opening, closing = f"<{name}>", f"</{name}>"
    found: Piece | None = None
    start: int | None = None
    behind = 0
    for tag in tags:
        if tag.name == opening:
            start = tag.end
        elif tag.name == closing:
            inner = whole.slice(behind if start is None else start, tag.start)
            if inner.text.strip() or found is None:
                found = inner
            start = None
        behind = tag.end
    if start is not None and (found is None or whole.text[start:].strip()):
        end = next((tag.start for tag in tags if tag.start >= start), len(whole.text))
        found = whole.slice(start, end)
    return found


def _after_reasoning(whole: Piece, tags: list[_Tag]) -> Piece:
    start = max((tag.end for tag in tags if tag.name == "</reasoning>"), default=0)
    return whole.slice(start, len(whole.text))


def _stripped(piece: Piece) -> Piece:
    left = piece.text.lstrip()
    start = len(piece.text) - len(left)
    return piece.slice(start, start + len(left.rstrip())) if start or left[-1:].isspace() else piece


def _fenced(piece: Piece, *, any_language: bool) -> Piece | None:
    """The inside of the last block; one that nothing closes goes on to the end."""
    fences = list(_FENCE.finditer(piece.text))
    last: Piece | None = None
    for at in range(0, len(fences), 2):
        language = fences[at][1].lower()
        end = fences[at + 1].start() if at + 1 < len(fences) else len(piece.text)
        # "```select" has no language: what looks like one is the first word of the query.
        start = fences[at].start(1) if language in ("select", "with", "values") else fences[at].end()
        block = _stripped(piece.slice(start, end))
        wanted = any_language or language in ("sql", "sqlite") or _QUERY.match(block.text)
        if block.text and wanted:
            last = block
    return last


def _bare(piece: Piece) -> Piece | None:
    return _stripped(piece) if _QUERY.match(piece.text) else None
