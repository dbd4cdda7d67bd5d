"""Cutting a text into sentences, clauses, lines or chunks without losing a character: the pieces, put together, are the
text, and each knows where it stands.

Sentences end with the marks of any script ("." "!" "?" "…" "。" "؟" "۔" "।" and others), with what closes behind them
and the white space after it. Positions are those of characters as they are stored, whichever way they are read: right
to left makes no difference. A cut never comes before a combining mark, a joiner or a variation selector. A full stop
ends no sentence inside a number, after an initial or a usual abbreviation, nor before a small letter in a text that has
capital ones. Scripts that end sentences with a mere space (Thai, Lao, Khmer) are cut at lines only.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from honewise import templates
from honewise.contracts import Piece

__all__ = ["Segmenter", "chunks", "clauses", "lines", "sentences", "words_of"]

Segmenter = Callable[[str], list[Piece]]

_ENDS = "!?…。．！？｡؟۔।॥։።፧၊။᠃᠉‼⁇⁈⁉‽⸮"
_CLOSERS = "\"'”’»›)]}）］｝」』】〉》〗\u200f\u200e"
_SENTENCE = re.compile(
    rf"(?:[{re.escape(_ENDS)}]|\.)+[.{re.escape(_ENDS)}]*[{re.escape(_CLOSERS)}]*\s*|\n\s*|\r\s*|[\u2028\u2029]\s*"
)
_CLAUSE = re.compile(r"[,;:،؛、，；：·‚]\s+|[،؛、，；：]\s*|(?<=\S)\s+[-–—]\s+|—\s*")
_WORD = re.compile(r"\w+", re.UNICODE)
_LONGEST = 32
"""Characters that may belong together; what goes on for longer is cut anywhere."""
_FULL_WIDTH = frozenset("。．！？｡")


def sentences(text: str) -> list[Piece]:
    """The sentences of a text, each with the white space behind it.

    >>> [piece.text for piece in sentences("It costs 3.50, e.g. today. «Really?» Yes.")]
    ['It costs 3.50, e.g. today. ', '«Really?» ', 'Yes.']
    """
    return _cut(text, _sentence_ends(text))


def clauses(text: str) -> list[Piece]:
    """Parts of sentences: cut at sentences' ends and at commas, semicolons, colons and dashes between words.

    >>> [piece.text for piece in clauses("First, it works; then 1,000 fail.")]
    ['First, ', 'it works; ', 'then 1,000 fail.']
    """
    inner = (match.end() for match in _CLAUSE.finditer(text))
    return _cut(text, sorted({*_sentence_ends(text), *inner}))


def lines(text: str) -> list[Piece]:
    """The lines of a text, each with what ends it."""
    return _cut(text, (match.end() for match in re.finditer(r"\r\n|\r|\n|[\u2028\u2029]", text)))


def chunks(text: str, size: int) -> list[Piece]:
    """Pieces of at most ``size`` characters that end with sentences where one ends in their second half.

    >>> [piece.text for piece in chunks("One. Two. Three.", 10)]
    ['One. Two. ', 'Three.']
    """
    if size < 1:
        raise ValueError(f"a chunk has at least one character; given: {size}")
    found: list[int] = []
    ends = [piece.end for piece in sentences(text)]
    start = place = 0
    while len(text) - start > size:
        best = 0
        while place < len(ends) and ends[place] <= start + size:
            best = ends[place]
            place += 1
        if best - start <= size // 2:
            best = _back(text, start, start + size)
        found.append(best)
        start = best
    return _cut(text, found, whole=False)


def words_of(text: str) -> list[str]:
    """The words of a text for comparing: in one case; runs of scripts without spaces as pairs of characters."""
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        if any(
            "\u2e80" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7af" or "\u0e00" <= char <= "\u0eff"
            for char in word
        ):
            found += [word[at : at + 2] for at in range(max(1, len(word) - 1))]
        else:
            found.append(word)
    return found


def _sentence_ends(text: str) -> Iterator[int]:
    small = text.islower()
    for match in _SENTENCE.finditer(text):
        if _ends(text, match, small):
            yield match.end()


def _ends(text: str, match: re.Match[str], small: bool) -> bool:
    mark = match[0].strip()
    if not mark or match.end() == len(text):
        return True
    if any(char in _FULL_WIDTH for char in mark):
        return True
    if not match[0][-1].isspace():
        return False  # 3.5, example.org, ?!x
    if "\n" in match[0] or not mark.startswith("."):
        return True
    if text[match.end()].islower() and not small:
        return False
    before = text[max(0, match.start() - 24) : match.start()]
    word = re.search(r"[\w.\-]*$", before)
    last = (word[0] if word else "").casefold()
    if mark == "." and len(last) == 1 and last.isalpha() and before[-1:].isupper():
        return False  # an initial
    if mark == "." and last.isdecimal() and len(last) <= 3 and _begins_line(text, match.start() - len(last)):
        return False  # 1. in a list
    return not (mark == "." and last in _abbreviations())


@cache
def _abbreviations() -> frozenset[str]:
    return frozenset(templates.load("honewise", "judges/phrases/abbreviations.txt").split())


def _begins_line(text: str, at: int) -> bool:
    while at > 0 and text[at - 1] in " \t":
        at -= 1
    return at == 0 or text[at - 1] in "\r\n"


def _cut(text: str, ends: Iterable[int], *, whole: bool = True) -> list[Piece]:
    """The pieces between cuts; ``whole``: a cut between characters that belong together is left out."""
    found: list[Piece] = []
    start = 0
    for end in ends:
        if end <= start or end >= len(text) or (whole and _joined(text, end)):
            continue
        found.append(Piece(text[start:end], start))
        start = end
    if start < len(text):
        found.append(Piece(text[start:], start))
    return found


def _back(text: str, start: int, end: int) -> int:
    """A place to cut at or before ``end``: after white space, else between characters that do not belong together."""
    space = max(text.rfind(" ", start, end), text.rfind("\n", start, end)) + 1
    if space - start > (end - start) // 2 and not _joined(text, space):
        return space
    before = next((at for at in range(end, max(start, end - _LONGEST), -1) if not _joined(text, at)), end)
    return before if before > start else end


def _joined(text: str, at: int) -> bool:
    """Whether the character there belongs to the one before it."""
    here, before = text[at], text[at - 1]
    return (
        unicodedata.category(here) in ("Mn", "Mc", "Me")
        or here in "\u200d\ufe0e\ufe0f"
        or before == "\u200d"
        or (before == "\r" and here == "\n")
        or "\U0001f3fb" <= here <= "\U0001f3ff"
    )
