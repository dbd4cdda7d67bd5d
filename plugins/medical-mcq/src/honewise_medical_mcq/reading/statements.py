"""What a text says about options, clause by clause: this one, not that one, one of these."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from . import lexicon
from .mentions import Choices, Mention, follows, mentions
from .normal import Normal

__all__ = ["Clause", "Statement", "clauses", "statements"]

Kind = Literal["asserts", "bare", "item", "denies", "unclear"]

_STOP = re.compile(r"\.(?!\d)|[!?;,\n]")
_SENTENCE = ".!?\n"
_START = re.compile(r"\W*(?:answer|ans|choose|select|pick|correct)(?!\w)")
_PREDICATE = re.compile(r"(?:is|are|be|seems|looks)\W+(?:\w+\W+)?(?:correct|right|true)(?!\w)")
_DELIMITER = re.compile(r" ?[).:\]\-]")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MOST_NAMED = 16
"""A clause that names options more often than this says nothing plain."""
_JOINED = 3
"""Words between two options of one list at most."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What one clause says."""

    kind: Kind
    options: frozenset[int]
    start: int
    end: int
    clause: Clause


@dataclass(slots=True)
class Clause:
    """A stretch of the normal text between stops."""

    start: int
    end: int
    stop: str
    """What ended it: a mark, or ``word`` where a contrast or a reason begins."""
    opens: str = ""
    """``contrast`` or ``reason`` where one of their words begins it."""
    named: list[Mention] = field(default_factory=list)


def clauses(text: Normal, found: Sequence[Mention]) -> list[Clause]:
    """The clauses of a text with the options they name. Lists of options stay in one."""
    made: list[Clause] = []
    start, opens = 0, ""
    for at, end, stop, next_opens in _cuts(text, found):
        made.append(Clause(start, at, stop, opens))
        start, opens = end, next_opens
    made.append(Clause(start, len(text.text), "\n", opens))
    place = 0
    for clause in made:
        while place < len(found) and found[place].start < clause.end:
            if found[place].start >= clause.start:
                clause.named.append(found[place])
            place += 1
    return _lists(text, made)


def _cuts(text: Normal, found: Sequence[Mention]) -> Iterator[tuple[int, int, str, str]]:
    marks: list[tuple[int, int, str, str]] = [
        (match.start(), match.end(), match[0], "") for match in _STOP.finditer(text.text)
    ]
    for pattern, name in ((lexicon.CONTRAST, "contrast"), (lexicon.REASON, "reason")):
        for match in pattern.finditer(text.text):
            if len(match[0]) > 1 or text.cased[match.start()] == match[0]:
                marks += [(match.start(), match.end(), "word", name)]
    spans = [(mention.start, mention.end) for mention in found]
    at = 0
    last = -1
    for start, end, stop, opens in sorted(marks):
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        if start < last or (at < len(spans) and spans[at][0] <= start < spans[at][1]):
            continue
        if stop == "." and _after_label(text, found, start):
            continue
        last = end
        yield start, (end if stop != "word" else start), stop, opens


def _after_label(text: Normal, found: Sequence[Mention], at: int) -> bool:
    """Whether a full stop belongs to a label that begins its line: "A. Ibuprofen"."""
    place = bisect_left(found, at, key=lambda mention: mention.end)
    if place >= len(found) or found[place].end != at or found[place].kind == "text":
        return False
    before = text.text[max(0, found[place].start - 3) : found[place].start].rstrip(" ([\"'-")
    begins = not before or before[-1] in _SENTENCE
    told = place + 1 < len(found) and found[place + 1].kind == "text" and found[place + 1].start <= at + 3
    return (begins or told) and text.text[at + 1 : at + 2] not in ("", "\n")


def _lists(text: Normal, made: Sequence[Clause]) -> list[Clause]:
    """Options that commas part, and that belong together: "B, C and D are wrong"."""
    joined: list[Clause] = []
    for clause in made:
        before = joined[-1] if joined else None
        if (
            before is not None
            and before.stop == ","
            and len(before.named) <= _MOST_NAMED
            and not clause.opens
            and before.named
            and clause.named
            and all(mention.kind != "text" for mention in (*before.named, *clause.named))
            and not _rest(text, before.named[-1].end, before.end)
            and not _rest(text, clause.start, clause.named[0].start, joins=True)
            and not _verdicts(text, before, clause)
        ):
            before.end, before.stop = clause.end, clause.stop
            before.named.extend(clause.named)
        else:
            joined.append(clause)
    return joined


def _verdicts(text: Normal, before: Clause, after: Clause) -> bool:
    """ "The answer is A, B is wrong": two verdicts, no list."""
    said, then = (text.text[max(each.start, each.end - 200) : each.end] for each in (before, after))
    return bool(lexicon.ANSWER.search(said) and (lexicon.WRONG.search(then) or lexicon.NEGATION.search(then)))


def _rest(text: Normal, start: int, end: int, *, joins: bool = False) -> bool:
    """Whether anything but marks, and words that join, stands between two places."""
    said = text.text[start:end]
    if joins:
        said = lexicon.JOIN.sub(" ", said)
    return bool(_WORD.search(said))


def statements(text: Normal, choices: Choices, *, negated: bool = False, asked: bool = False) -> list[Statement]:
    """What each clause says, in order.

    ``negated``: the question asks for what is not so, and "C is false" may be its answer, not a denial. ``asked``: the
    text stands where an answer was asked for, so that a name alone is one.
    """
    made: list[Statement] = []
    pending = 2 if asked else 0
    condition = False
    for clause in clauses(text, mentions(text, choices)):
        said = text.text[clause.start : clause.end]
        if len(clause.named) > _MOST_NAMED:
            every = frozenset(place for mention in clause.named for place in mention.options)
            made.append(Statement("unclear", every, clause.start, clause.end, clause))
            continue
        reader = _Reader(text, clause, said, negated)
        if clause.stop == "?" or condition or reader.conditional:
            condition = reader.conditional and clause.stop not in _SENTENCE
            pending = 0
            continue
        made += reader.read(bool(pending))
        if reader.cue and not any(each.kind in ("asserts", "unclear") for each in made if each.clause is clause):
            pending = 2
        elif said.strip():
            pending = max(0, pending - 1)
    return made


class _Reader:
    """One clause."""

    def __init__(self, text: Normal, clause: Clause, said: str, negated: bool) -> None:
        self.text, self.clause, self.said, self.negated = text, clause, said, negated
        self.named = clause.named
        spans = [(mention.start - clause.start, mention.end - clause.start) for mention in clause.named]
        self.spans = spans
        self.cues = self._free(lexicon.ANSWER) + [match.span() for match in [_START.match(said)] if match]
        if negated:
            plain = [match.span() for match in _PREDICATE.finditer(said)]
            self.cues = [cue for cue in self.cues if not any(start <= cue[0] < end for start, end in plain)]
        self.wrong = self._free(lexicon.WRONG)
        if self.wrong:
            self.cues = [cue for cue in self.cues if not any(a < cue[1] and cue[0] < b for a, b in self.wrong)]
        final = [match.span() for match in lexicon.FINAL.finditer(said)]
        self.cue = bool(self.cues or final)
        self.conditional = bool(re.match(rf"\W*(?:{lexicon.CONDITION.pattern})", said))

    def _free(self, pattern: re.Pattern[str]) -> list[tuple[int, int]]:
        """Matches that are no part of an option's name."""
        found = [match.span() for match in pattern.finditer(self.said)]
        if pattern is lexicon.NEGATION:  # "No: it is C" turns nothing
            found = [(a, b) for a, b in found if _WORD.search(self.said[:a]) or not re.match(r" ?[:\-]", self.said[b:])]
        return [(a, b) for a, b in found if not any(start < b and a < end for start, end in self.spans)]

    def read(self, pending: bool) -> Iterator[Statement]:
        if not self.named:
            return
        named = [mention for mention in self.named if mention.firm or self._meant(mention, pending)]
        if not named:
            return
        denied = self._denied(named)
        if denied:
            options = frozenset(place for mention in denied for place in mention.options)
            yield self._statement("denies", options, denied)
        left = [mention for mention in named if mention not in denied]
        if not left or self._free(lexicon.TENTATIVE):
            return
        if self.wrong and not self.cues:
            return
        if self.cues or (pending and self._is_bare(left)):
            chosen = self._chosen(left)
            agreed = _agreed(self.text.text, chosen) or frozenset()
            yield self._statement("asserts" if len(agreed) == 1 else "unclear", agreed, chosen)
        elif self._is_bare(left):
            agreed = _agreed(self.text.text, left) or frozenset()
            yield self._statement("bare" if len(agreed) == 1 else "unclear", agreed, left)
        elif self._is_item(left[0]):
            yield self._statement("item", left[0].options, left[:1])

    def _statement(self, kind: Kind, options: frozenset[int], by: Sequence[Mention]) -> Statement:
        return Statement(kind, options, by[0].start, by[-1].end, self.clause)

    def _meant(self, mention: Mention, pending: bool) -> bool:
        """A doubtful name counts where it stands alone, or right after words that ask for it."""
        start, end = mention.start - self.clause.start, mention.end - self.clause.start
        if self._is_bare([mention]):
            return True
        after_cue = any(b <= start and not _words(self.said[b:start], fill=True) for _, b in self.cues)
        closed = not _words(self.said[end:], fill=True) or _DELIMITER.match(self.said, end) is not None
        joined = lexicon.JOIN.match(self.said[end:].lstrip()) is not None
        return (after_cue and (closed or joined)) or (pending and not _words(self.said[:start], fill=True) and closed)

    def _is_bare(self, named: Sequence[Mention]) -> bool:
        """Whether the clause names options and says nothing else."""
        at, rest = 0, []
        for mention in self.named:
            start = mention.start - self.clause.start
            rest.append(self.said[at:start])
            at = mention.end - self.clause.start
        rest.append(self.said[at:])
        return bool(named) and not any(_words(part, fill=True, joins=True) for part in rest)

    def _is_item(self, mention: Mention) -> bool:
        """ "B. Insulin lowers sugar": a label that begins its clause, with a mark behind it."""
        start, end = mention.start - self.clause.start, mention.end - self.clause.start
        opens = not _WORD.search(self.said[:start]) and mention.kind != "text"
        return opens and _DELIMITER.match(self.said, end) is not None

    def _denied(self, named: Sequence[Mention]) -> list[Mention]:
        if self.wrong and not self.cues:
            return list(named)
        denied: list[Mention] = []
        for _, end in self._free(lexicon.AGAINST):
            after = [mention for mention in named if mention.start - self.clause.start >= end]
            if after and not _words(self.said[end : after[0].start - self.clause.start], fill=True):
                denied += after
        for start, end in self._free(lexicon.NEGATION):
            before = [mention for mention in named if mention.end - self.clause.start <= start]
            after = [mention for mention in named if mention.start - self.clause.start >= end]
            gap = len(_words(self.said[end : after[0].start - self.clause.start])) if after else 99
            if after and (not before or gap <= 1):
                denied += after
            elif before and (self._about_verdict(start, end) or not after):
                denied += before if self._about_verdict(start, end) else []
        return [mention for mention in named if mention in denied]

    def _about_verdict(self, start: int, end: int) -> bool:
        """Whether a "not" is about being the answer ("B is not right", "گزینه ب نیست"), not about some fact."""
        after = self.said[end:]
        if any(a >= start - 1 for a, b in self.cues) or any(a <= start < b for a, b in self.cues):
            return True
        if self.cues:
            return not _words(after, fill=True)
        last = self.spans[-1][1] if self.spans else 0
        return not _words(self.said[last:start], fill=True) and not _words(after, fill=True)

    def _chosen(self, left: Sequence[Mention]) -> Sequence[Mention]:
        """Of several names, the one that the words for the answer point at."""
        if len(left) == 1 or not self.cues:
            return left
        end = max(b for _, b in self.cues)
        after = [mention for mention in left if mention.start - self.clause.start >= end]
        pool = after or list(left)
        kept = [pool[0]]
        for mention in pool[1:]:
            between = self.text.text[kept[-1].end : mention.start]
            if len(_words(between)) > _JOINED and not lexicon.JOIN.search(between):
                break
            kept.append(mention)
        return kept


def _agreed(text: str, named: Sequence[Mention]) -> frozenset[int] | None:
    """The options that names together stand for; None where a label and the text behind it are of different options."""
    firm = [mention for mention in named if mention.options]
    options: set[int] = set()
    has_label = any(mention.kind != "text" for mention in firm)
    for at, mention in enumerate(named):
        follower = named[at + 1] if at + 1 < len(named) else None
        if mention.kind != "text" and follower is not None and follower.kind == "text":
            if not mention.options:
                options |= follower.options
                continue
            if follows(text, mention, follower) and not mention.options & follower.options:
                return None
        if not mention.options:
            return None
        if mention.kind != "text" or not has_label:
            options |= mention.options
    return frozenset(options)


def _words(said: str, *, fill: bool = False, joins: bool = False) -> list[str]:
    """The words of a stretch; with ``fill`` without those that say nothing, with ``joins`` without those that join."""
    if not said or said.isspace():
        return []
    if joins:
        said = lexicon.JOIN.sub(" ", said)
    if fill:
        for pattern in (lexicon.CONTRAST, lexicon.REASON, lexicon.FINAL, lexicon.OPTION, lexicon.FILL):
            said = pattern.sub(" ", said)
    return _WORD.findall(said)
