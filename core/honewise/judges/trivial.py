"""Texts that are no answer at all: found by fixed rules, before a judge is paid to be fooled by one.

Models that judge can be won over by a colon, by "Thought process:" or by their own question sent back. The rules look
at the whole text, never at a part of it, so that a short, odd or wrong answer is left to the judge:

============  ========================================================================================================
``empty``     nothing but white space, punctuation, invisible characters, empty tags or an empty code block
``opening``   only words that come before an answer: "Thought process:", "Let's think step by step.", "# Solution"
``no answer`` only "cannot be determined", "I don't know" and the like, in ten languages
``verdict``   only verdicts as judges give them: "Score: 10", "Verdict: yes", "[[A]]"
``prompt``    the prompt again, once or several times, with no more than one of the above around it
``judge``     only lines of the judge's own prompt
============  ========================================================================================================

A text that says the same as the reference is never trivial, whatever it looks like. Refusals are not: whether one is
right is what a judge is for. Letters, digits and signs alone ("7", "B", "+", "π", "[]") are answers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache

from honewise import templates

__all__ = ["is_trivial", "why_trivial"]

_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[\w+-]*[ \t]*$", re.MULTILINE)
_TAGS = re.compile(r"</?[A-Za-z][\w-]{0,40}/?>")
_NO_WORD = re.compile(r"[\W_]+")
_SIGNS = frozenset("%&*/@#\\-_'\"")
"""Punctuation that is an answer where it stands alone or by two or three: an operator, a wildcard, a unit."""

_NOTHING = frozenset(("[]", "{}", "()"))
"""What code says for an empty list, mapping or tuple."""

_NO_ANSWER = re.compile(
    r"(?:(?:it|this|that|the (?:answer|question|value|result|solution|correct answer)) )?"
    r"(?:can ?not|can t|could not|couldn t) be (?:determined|answered|known|solved|inferred|established|calculated)"
    r"(?: (?:from|with|by|given|based on) (?:the )?(?:(?:given|provided|available) )?"
    r"(?:information|context|data|question|text|passage|document|details)(?: (?:given|provided|available))?)?"
    r"|(?:there (?:is|s) )?(?:not enough|insufficient|no sufficient) (?:information|data|context)"
    r"(?: (?:given|provided|available"
    r"|to (?:answer|determine|say|tell)(?: (?:this|the|that))?(?: (?:question|answer))?))?"
    r"|i (?:do not|don t|cannot|can t) (?:know|tell|say|determine|answer)"
    r"(?: (?:that|this|the|it))?(?: (?:question|answer))?"
)
_VERDICT = re.compile(
    r"[\W_]*(?:the |my |final |overall )*(?:score|verdict|rating|grade|judg(?:e)?ment|ranking|better|preference)"
    r"(?: is)?\s*[*_`]*\s*[:=：]\s*[\W_]*(?:[+-]?\d+(?:\.\d+)?(?:\s*(?:/|out of)\s*\d+)?|yes|no|true|false|correct|pass"
    r"|[A-D]|\d+(?:\s*[>=]\s*\d+)+)[\W_]*"
    r"|[\s*_]*\[\[(?:[A-D]|[A-D][=<>]+[A-D]|tie|yes|no|correct|incorrect)\]\][\s*_.]*",
    re.IGNORECASE,
)
_LONGEST = 200_000
"""Characters beyond which a text is not looked at: no rule but ``prompt`` could hold for one."""


def is_trivial(
    text: str, *, prompts: Sequence[str] = (), judge_prompts: Sequence[str] = (), reference: str | None = None
) -> bool:
    """Whether ``why_trivial`` finds a reason.

    >>> is_trivial("Thought process:"), is_trivial("7"), is_trivial("Not known", reference="not known.")
    (True, False, False)
    """
    return bool(why_trivial(text, prompts=prompts, judge_prompts=judge_prompts, reference=reference))


def why_trivial(
    text: str, *, prompts: Sequence[str] = (), judge_prompts: Sequence[str] = (), reference: str | None = None
) -> str:
    """Why a text is no answer: a word of the table above, or nothing where it may be one.

    Args:
        text: what a model wrote, or the part of it that is judged.
        prompts: what the model was asked; the question alone and the whole message, where they differ.
        judge_prompts: what the judge is told beside the answer: its template and its form.
        reference: a right answer, where one is known.
    """
    if len(text) > _LONGEST:
        return ""
    if not _content(text):
        return "" if _same(text, reference) else "empty"
    words = _words(text)
    if reference is not None and words == _words(reference):
        return ""
    return _phrase(text, words) or _echo(words, prompts) or _judge_echo(text, judge_prompts)


def _phrase(text: str, words: str) -> str:
    if words in _phrases("openings") or (words in _phrases("headings") and _marked(text)):
        return "opening"
    if words in _phrases("no_answers") or _NO_ANSWER.fullmatch(words):
        return "no answer"
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) <= 50 and all(len(line) <= 100 and _VERDICT.fullmatch(line) for line in lines):
        return "verdict"
    return ""


def _echo(words: str, prompts: Sequence[str]) -> str:
    """``words`` without the prompt in them is nothing."""
    for prompt in prompts:
        asked = _words(prompt)
        if len(asked) < 12 or asked not in words:
            continue
        left = _NO_WORD.sub(" ", words.replace(asked, " ")).strip()
        known = (left in _phrases(name) for name in ("openings", "headings", "no_answers"))
        if not left or any(known) or _NO_ANSWER.fullmatch(left):
            return "prompt"
    return ""


def _judge_echo(text: str, judge_prompts: Sequence[str]) -> str:
    told = {line for prompt in judge_prompts for line in _lines(prompt.replace("{{", " ").replace("}}", " "))}
    lines = list(_lines(text)) if told else []
    return "judge" if all(line in told for line in lines) and any(line.count(" ") >= 2 for line in lines) else ""


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        words = _words(line)
        if words:
            yield words


@cache
def _phrases(name: str) -> frozenset[str]:
    """The phrases of a file, one to a line. Those in ``headings`` say nothing only where a colon follows or the marks
    of a heading stand around: the bare word may be an answer."""
    return frozenset(_lines(templates.load("honewise", f"judges/phrases/{name}.txt")))


def _words(text: str) -> str:
    """In one case, one form and single spaces, so that marks make no difference."""
    return _NO_WORD.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _content(text: str) -> bool:
    """Whether anything is left without tags, fences, white space and punctuation."""
    closed = "</" in text
    bare = _FENCE.sub("", text)
    bare = _TAGS.sub("", bare) if closed else bare
    kept = [char for char in bare if unicodedata.category(char)[0] not in "ZC"]
    if any(unicodedata.category(char)[0] not in "PM" for char in kept):
        return True
    return "".join(kept) in _NOTHING or (0 < len(kept) <= 3 and all(char in _SIGNS for char in kept))


def _marked(text: str) -> bool:
    """A colon behind it, or marks of a heading around it."""
    bare = text.strip()
    return bare.rstrip("*_ ").endswith((":", "：")) or bare.startswith(("#", "**", "__", "<"))


def _same(text: str, reference: str | None) -> bool:
    return reference is not None and text.strip() == reference.strip()
