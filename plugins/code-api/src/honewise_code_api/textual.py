"""Rewards that only read the code: names that nothing defines, and likeness to a reference."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from honewise import Completion, Piece, Score, Span, Task, Unscored, UserError, reward
from honewise.errors import DataError

from .calls import parsed
from .codebleu import PARTS, code_bleu
from .executability import known_names
from .functions import gold_call

__all__ = ["bleu_of_code", "lcs_f1", "rouge_l", "undefined", "words"]

_CHARGED = 4
_WORD = re.compile(r"[a-z0-9]+")
_MOST_WORDS = 1000


@reward
def undefined(task: Task, completion: Completion) -> Score | Unscored:
    """1 where the code is Python and uses no name that nothing defines; each such use costs 1/4 where it stands.

    The functions of the task, or of its table of APIs, count as defined. Found by pyflakes, without running anything.
    """
    try:
        known = known_names(task)
    except (OSError, DataError) as error:
        return Unscored(f"the table of APIs cannot be read: {error}")
    code = completion.pieces.get("code")
    tree = parsed(code.text) if code is not None and completion.answer is not None else None
    if tree is None or code is None:
        return Score()
    from pyflakes.checker import Checker
    from pyflakes.messages import UndefinedName

    try:
        messages = Checker(tree, builtins=set(known)).messages
    except RecursionError:
        return Score()
    found = [each for each in messages if isinstance(each, UndefinedName)][:_CHARGED]
    spans = [_at(code, each.lineno, each.col, str(each.message_args[0])) for each in found]
    said = ", ".join(sorted({str(each.message_args[0]) for each in found}))
    return Score(1.0, spans, feedback=f"nothing defines {said}" if said else "")


def _at(code: Piece, line: int, column: int, name: str) -> Span:
    """The use of a name, by its line and its column in UTF-8; ``parsed`` and this count lines as Python does."""
    lines = re.split(r"(?<=\n)|(?<=\r)(?!\n)", code.text)
    before = lines[line - 1].encode("utf-8", "surrogatepass")[:column].decode("utf-8", "surrogatepass")
    start = sum(map(len, lines[: line - 1])) + len(before)
    return code.slice(start, min(start + len(name), len(code.text))).pays(-1 / _CHARGED, f"{name} is not defined")


@reward
def rouge_l(task: Task, completion: Completion) -> Score | Unscored:
    """ROUGE-L of the code and the gold code: F1 of the longest common subsequence of their words, in [0, 1].

    Words as rouge-score has them without stemming: runs of letters and digits, in lower case (Lin, 2004).
    """
    gold = _gold(task)
    if gold is None:
        return Unscored("the task has no reference code")
    if completion.answer is None:
        return Score()
    return Score(lcs_f1(words(gold), words(completion.answer)) if completion.answer != gold else 1.0)


@reward(name="code_bleu")
def bleu_of_code(
    task: Task, completion: Completion, *, weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25)
) -> Score | Unscored:
    """CodeBLEU of the code and the gold code, in [0, 1] (Ren et al., 2020; ours, see ``honewise_code_api.codebleu``).

    The weighted mean of four parts, which are in the log: ``ngram``, ``weighted``, ``ast``, ``dataflow``. A part of
    which the gold code has nothing does not apply, and the others are weighed alone.

    Options:
        weights: of the four parts, in this order; none below 0, and not all 0.
    """
    if not _are_weights(weights):
        said = ", ".join(PARTS)
        raise UserError(f"code_bleu: weights is {weights!r}; it must be four numbers of 0 and more, for {said}")
    gold = _gold(task)
    if gold is None:
        return Unscored("the task has no reference code")
    if completion.answer is None:
        return Score()
    found = code_bleu(gold, completion.answer)
    return Score(min(1.0, found.value(weights)), parts=found.parts)


def _are_weights(given: Sequence[float]) -> bool:
    if isinstance(given, str) or not isinstance(given, Sequence) or len(given) != len(PARTS):
        return False
    plain = all(isinstance(each, int | float) and not isinstance(each, bool) for each in given)
    return plain and all(0 <= each < math.inf for each in given) and any(given)


def _gold(task: Task) -> str | None:
    reference = task.reference
    if reference.get("calls") is not None:
        return "\n".join(gold_call(each) for each in reference["calls"]) or "[]"
    text = reference.get("solution") or reference.get("api_call")
    return str(text) if text else None


def words(text: str) -> list[str]:
    """Runs of letters and digits in lower case, the first thousand."""
    return _WORD.findall(text.lower())[:_MOST_WORDS]


def lcs_f1(one: Sequence[str], other: Sequence[str]) -> float:
    """2 LCS / (n + m); 0 where either has nothing.

    >>> lcs_f1("police killed the gunman".split(), "police kill the gunman".split())
    0.75
    """
    if not one or not other:
        return 0.0
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for index, each in enumerate(other, start=1):
            above = row[index]
            row[index] = before + 1 if word == each else max(above, row[index - 1])
            before = above
    return 2 * row[-1] / (len(one) + len(other))
