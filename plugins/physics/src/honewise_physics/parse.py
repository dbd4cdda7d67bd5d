"""Reading a completion: its reasoning, and its final answer where it stands.

The form asked for is ``<reasoning>..</reasoning><answer>..</answer>``, in the compact style steps and ``<answer>``.
What models write instead is read as far as its meaning is plain: the last ``<answer>`` that has anything in it, else
the last ``\\boxed{..}``, else what follows the last "answer is" or "answer:" of a line. A closing tag that is missing
is taken to stand at the end. Anything else is unreadable: ``answer`` is None, and that is the model's doing.
"""

from __future__ import annotations

import re

from honewise import Completion, Piece, Task

__all__ = ["MOST_ANSWER", "parse"]

MOST_ANSWER = 2_000
"""Longest answer in characters; a longer one is unreadable."""
_OPEN_BOXES = 8

_TAG = re.compile(r"</?(?:reasoning|answer)>", re.IGNORECASE)
_SAID = re.compile(r"\banswer(?:[ \t]+is\b|[ \t]*[:=])[ \t]*", re.IGNORECASE)


def parse(text: str, _task: Task) -> Completion:
    """A ``Completion`` whose ``answer`` is the answer's text, or None. Takes time linear in the text.

    Pieces, each only where it is there: ``answer`` and ``reasoning``, which is what stands in its tags, else all that
    comes before the answer.
    """
    whole = Piece(text)
    tags = [(match[0].lower(), match.start(), match.end()) for match in _TAG.finditer(text)]
    answer, begins = _tagged(whole, tags)
    if answer is None:
        answer, begins = _boxed(whole)
    if answer is None:
        answer, begins = _worded(whole)
    if answer is not None:
        inner, _ = _boxed(answer)
        answer = _stripped(inner or answer)
    reasoning = _reasoning(whole, tags, begins)
    pieces = {"reasoning": reasoning} if reasoning.text.strip() else {}
    if answer is None or not answer.text or len(answer.text) > MOST_ANSWER:
        return Completion(text, None, pieces)
    return Completion(text, answer.text, {**pieces, "answer": answer})


def _tagged(whole: Piece, tags: list[tuple[str, int, int]]) -> tuple[Piece | None, int]:
    """The last answer in tags that is not empty, and where its opening tag stands."""
    closing = len(whole.text)
    for name, start, end in reversed(tags):
        if name == "<answer>" and whole.text[end:closing].strip():
            return whole.slice(end, closing), start
        closing = start
    return None, len(whole.text)


def _boxed(piece: Piece) -> tuple[Piece | None, int]:
    """The inside of the last closed ``\\boxed{..}``, and where it stands; of many open ones the last are tried."""
    text = piece.text
    at = len(text)
    for _ in range(_OPEN_BOXES):
        at = text.rfind("\\boxed{", 0, at)
        if at < 0:
            break
        start = at + len("\\boxed{")
        depth = 1
        for end in range(start, min(len(text), start + MOST_ANSWER)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0:
                return piece.slice(start, end), at
    return None, len(text)


def _worded(whole: Piece) -> tuple[Piece | None, int]:
    """What the last "answer is" of a line is followed by, and where that stands."""
    text, found = whole.text, None
    for match in _SAID.finditer(text):
        found = match if text[match.end() : match.end() + 1].strip() else found
    if found is None:
        return None, len(text)
    end = text.find("\n", found.end())
    return whole.slice(found.end(), end if end >= 0 else len(text)), found.start()


def _reasoning(whole: Piece, tags: list[tuple[str, int, int]], answer: int) -> Piece:
    opening = next((end for name, _, end in tags if name == "<reasoning>"), 0)
    closing = next((start for name, start, _ in tags if name == "</reasoning>" and start >= opening), None)
    end = closing if closing is not None else max(opening, answer)
    return whole.slice(opening, end)


def _stripped(piece: Piece) -> Piece:
    left = piece.text.lstrip()
    start = len(piece.text) - len(left)
    return piece.slice(start, start + len(left.rstrip()))
