"""Reading a completion: its reasoning, and its final answer where it stands.

The form asked for is ``<reasoning>..</reasoning><answer>..</answer>``, in the compact style steps and ``<answer>``.
What models write instead is read as far as its meaning is plain: the last ``<answer>`` that has anything in it, else
the last ``\\boxed{..}``, else what follows the last "answer is" or "answer:" of a line. A closing tag that is missing
is taken to stand at the end. Anything else is unreadable: ``answer`` is None, and that is the model's doing.
"""

from __future__ import annotations

import re

from honewise import Completion, Piece, Task

__all__ = ["MOST_ANSWER", "answers_in_turn", "parse"]

MOST_ANSWER = 2_000
"""Longest answer in characters; a longer one is unreadable."""
MOST_IN_TURN = 8

_TAG = re.compile(r"</?(?:reasoning|answer)>", re.IGNORECASE)
_SAID = re.compile(r"\banswer(?:[ \t]+is\b|[ \t]*[:=])[ \t]*", re.IGNORECASE)


def parse(text: str, _task: Task) -> Completion:
    """A ``Completion`` whose ``answer`` is the answer's text, or None. Takes time linear in the text.

    Pieces, each only where it is there: ``answer`` and ``reasoning``, which is what stands in its tags, else all that
    comes before the answer.
    """
    return _read(text)[0]


def answers_in_turn(completion: Completion) -> list[Completion]:
    """The completion as it stood after each of its answers, the last one last; of more than ``MOST_IN_TURN`` the last
    ones. So what an answer is worth can be told from what was written up to it."""
    found, begins = [completion], _read(completion.text)[1]
    while begins and len(found) < MOST_IN_TURN:
        before, begins = _read(completion.text[:begins])
        if before.answer is None:
            break
        found.append(before)
    return found[::-1]


def _read(text: str) -> tuple[Completion, int]:
    """What ``parse`` gives, and where the tag or the words begin that announce the answer."""
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
        return Completion(text, None, pieces), begins
    return Completion(text, answer.text, {**pieces, "answer": answer}), begins


def _tagged(whole: Piece, tags: list[tuple[str, int, int]]) -> tuple[Piece | None, int]:
    """The last answer in tags that is not empty, and where its opening tag stands."""
    closing = len(whole.text)
    for name, start, end in reversed(tags):
        if name == "<answer>" and whole.text[end:closing].strip():
            return whole.slice(end, closing), start
        closing = start
    return None, len(whole.text)


def _boxed(piece: Piece) -> tuple[Piece | None, int]:
    """The inside of the last closed ``\\boxed{..}``."""
    text = piece.text
    at = text.rfind("\\boxed{")
    if at < 0:
        return None, len(text)
    start = at + len("\\boxed{")
    depth = 1
    for end in range(start, min(len(text), start + MOST_ANSWER)):
        depth += (text[end] == "{") - (text[end] == "}")
        if depth == 0:
            return piece.slice(start, end), at
    return None, len(text)


def _worded(whole: Piece) -> tuple[Piece | None, int]:
    last = None
    for last in _SAID.finditer(whole.text):  # noqa: B007
        pass
    if last is None:
        return None, len(whole.text)
    end = whole.text.find("\n", last.end())
    return whole.slice(last.end(), end if end >= 0 else len(whole.text)), last.start()


def _reasoning(whole: Piece, tags: list[tuple[str, int, int]], answer: int) -> Piece:
    opening = next((end for name, _, end in tags if name == "<reasoning>"), 0)
    closing = next((start for name, start, _ in tags if name == "</reasoning>" and start >= opening), None)
    end = closing if closing is not None else max(opening, answer)
    return whole.slice(opening, end)


def _stripped(piece: Piece) -> Piece:
    left = piece.text.lstrip()
    start = len(piece.text) - len(left)
    return piece.slice(start, start + len(left.rstrip()))
