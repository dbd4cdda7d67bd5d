"""Where options are named in a text: by label, by place, by their own text."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from . import lexicon
from .normal import Normal, fold

__all__ = ["Choices", "Mention", "mentions"]

_RUN = 40
"""Characters looked at on either side of a letter."""

_FOREIGN = {
    # Letters by which lists are numbered in other scripts. Cyrillic В is B to the eye and the third by its alphabet, so
    # it names nothing by itself; А and С look like what they are, Б and Г have no double.
    **{letter: place for place, letter in enumerate(["الف", "ب", "ج", "د", "ه"])},
    "ا": 0,
    **{letter: place for place, letter in enumerate("कखगघङ")},
    **{letter: place for place, letter in enumerate("अबसद")},
    **{letter: place for place, letter in enumerate("কখগঘঙ")},
    **{letter: place for place, letter in enumerate("αβγδε")},
    **{letter: place for place, letter in enumerate("אבגדה")},
    **{letter: place for place, letter in enumerate("甲乙丙丁戊")},
    **{letter: place for place, letter in enumerate("가나다라마")},
    **{letter: place for place, letter in enumerate("ㄱㄴㄷㄹㅁ")},
    **{letter: place for place, letter in enumerate("アイウエオ")},
    "а": 0,
    "б": 1,
    "с": 2,
    "г": 3,
}
_UNSURE = "вдеv"
_WORDS = frozenset("aаαοηесвoe甲乙丙丁戊가나다라마アイウエオ") | frozenset("अबस")
"""Letters that are words, or parts of words, of some language as well."""

_LETTER = "".join(sorted({letter for letter in _FOREIGN if len(letter) == 1} | set(_UNSURE[:-1])))
_LABEL = re.compile(rf"الف|[a-j]|[{_LETTER}]")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_ARTICLE = re.compile(
    r" (?!(?:is|isn't|was|would|should|can|cannot|could|might|may|must|seems|looks|and|or|because|since|as|but|not|for|"
    r"due|over|rather|correct|wrong|right|in|by|on|if|are|has|does|alone|only|only\.|instead|also|will|incorrect|out|"
    r"yes|no|ist|est|es|und|et|y|o|oder|ou|the|final|therefore|then)(?!\w))[a-z]"
)
_DIGIT = re.compile(
    r"(?<![\w.,/+\-])(\d{1,2})(?![\d%/+]|[.,]\d| ?(?:mg|ml|mm|cm|kg|g|percent|years?|days?|hours?|weeks?)\b)"
)
_BOTTOM = re.compile(r"(?<![a-z0-9])([a-j]{2,10})(?![a-z0-9'+\-])")
_AFTER_LABEL = re.compile(r"""[ )\].:\-"',(\n]*(?:is |= ?)?[ ("']*""")
_SPLIT_TEXT = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Mention:
    """One naming of one option, or of several at once, at ``[start, end)`` of the normal text."""

    start: int
    end: int
    options: frozenset[int]
    """Places from 0; empty where it is an option's name and not plain of which."""
    kind: str
    """``label``, ``text`` or ``place``."""
    firm: bool = True
    """It names an option whatever stands around it; else only beside words that say that an option is meant."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of one task, ready to be looked for."""

    count: int
    own_labels: tuple[str, ...]
    """Labels that are no letters (yes, no, maybe; i, ii, iii), in their one form; else empty."""
    texts: tuple[str, ...]
    """In their one form; empty where two are alike."""

    @staticmethod
    @lru_cache(maxsize=4096)
    def of(labels: tuple[str, ...], options: tuple[str, ...]) -> Choices:
        letters = all(label == "ABCDEFGHIJ"[place] for place, label in enumerate(labels))
        texts = [fold(option) for option in options]
        unique = tuple(text if text and texts.count(text) == 1 else "" for text in texts)
        return Choices(len(labels), () if letters else tuple(fold(label) for label in labels), unique)

    @property
    def lettered(self) -> bool:
        return not self.own_labels

    @property
    def pattern(self) -> re.Pattern[str] | None:
        return _pattern(self.texts, self.own_labels)


@lru_cache(maxsize=4096)
def _pattern(texts: tuple[str, ...], labels: tuple[str, ...]) -> re.Pattern[str] | None:
    wanted = sorted({text for text in (*texts, *labels) if text}, key=lambda text: (-len(text), text))
    return re.compile("|".join(map(_bounded, wanted))) if wanted else None


def _bounded(text: str) -> str:
    """The text as a pattern between word boundaries, as far as its script has any."""
    body = r"\s+".join(re.escape(part) for part in _SPLIT_TEXT.split(text))
    first, last = text[0], text[-1]
    before = after = ""
    if first.isdigit():
        before = r"(?<![\w.,\-])"
    elif "ARABIC" in unicodedata.name(first, ""):
        before = r"(?:(?<!\w)|(?<=\bال)|(?<=\bو)|(?<=\bوال)|(?<=\bبال)|(?<=\bب)|(?<=\bل)|(?<=\bلل))"
    elif "HEBREW" in unicodedata.name(first, ""):
        before = r"(?:(?<!\w)|(?<=\bה)|(?<=\bו)|(?<=\bב)|(?<=\bל))"
    elif first.isalnum() and not _UNSPACED.match(first):
        before = r"(?<!\w)"
    if last.isdigit():
        after = r"(?![\w%]|[.,]\d)"
    elif last.isalnum() and not _UNSPACED.match(last):
        after = r"(?![^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])"
    return f"{before}{body}{after}"


def mentions(text: Normal, choices: Choices) -> list[Mention]:
    """Every naming of an option, in order, none inside another."""
    around = _Around(text)
    texts = sorted(_texts(around, choices), key=lambda mention: mention.start)
    starts = [mention.start for mention in texts]
    others = [*_places(around, choices)]
    if choices.lettered:
        others += [*_labels(around, choices)]
    kept: list[Mention] = []
    for mention in sorted(others, key=lambda mention: (mention.start, mention.start - mention.end)):
        at = bisect_right(starts, mention.start)
        inside = any(mention.start < each.end and each.start < mention.end for each in texts[max(0, at - 1) : at + 1])
        if not inside and not (kept and mention.start < kept[-1].end):
            kept.append(mention)
    return sorted([*texts, *kept], key=lambda mention: mention.start)


class _Around:
    """A text, and where in it words end that make something of a letter behind them."""

    def __init__(self, text: Normal) -> None:
        self.normal, self.text, self.cased = text, text.text, text.cased
        self._options = {match.end() for match in lexicon.OPTION.finditer(text.text)}
        self._names = {match.end() for match in lexicon.NO_LABEL_BEFORE.finditer(text.text)}

    def option_before(self, start: int) -> bool:
        return self._head(start, " (:#-") in self._options

    def name_before(self, start: int) -> bool:
        return self._head(start, " (") in self._names

    def _head(self, start: int, marks: str) -> int:
        least = max(0, start - _RUN)
        while start > least and self.text[start - 1] in marks:
            start -= 1
        return start


def _texts(text: _Around, choices: Choices) -> Iterator[Mention]:
    if choices.pattern is None:
        return
    for match in choices.pattern.finditer(text.text):
        said = _SPLIT_TEXT.sub(" ", match[0])
        named = {place for place, option in enumerate(choices.texts) if option == said}
        named |= {place for place, label in enumerate(choices.own_labels) if label == said}
        if said.isdecimal() and choices.lettered and text.option_before(match.start()):
            place = int(said) - 1  # "option 4" where an option's text is 4 as well
            if 0 <= place < choices.count:
                named.add(place)
        if len(said) == 1 and said in "abcdefghij"[: choices.count] and choices.lettered:
            named.add("abcdefghij".index(said))  # blood group A, which stands under B
            if not _label_form(text, match.start(), match.end()):
                continue
        yield Mention(match.start(), match.end(), frozenset(named), "text")


def _labels(text: _Around, choices: Choices) -> Iterator[Mention]:
    for match in _LABEL.finditer(text.text):
        start, end = match.span()
        if not _apart(text.text, start, end):
            continue
        letter = match[0]
        place = "abcdefghij".index(letter) if letter in "abcdefghij" else _FOREIGN.get(letter)
        if letter not in _UNSURE and (place is None or place >= choices.count):
            continue
        form = _label_form(text, start, end)
        if form is not None:
            options = frozenset() if letter in _UNSURE or place is None else frozenset({place})
            yield Mention(start, end, options, "label", firm=form)
    for match in _BOTTOM.finditer(text.text):
        run = match[1]
        shown = text.cased[match.start() : match.end()]
        if shown.isupper() and len(set(run)) == len(run) and sorted(run) == list(run):
            places = frozenset("abcdefghij".index(letter) for letter in run)
            if max(places) < choices.count:
                yield Mention(match.start(), match.end(), places, "label", firm=False)


def _apart(text: str, start: int, end: int) -> bool:
    """Whether a letter stands by itself; letters of scripts without spaces may touch it."""
    before, after = text[start - 1 : start], text[end : end + 1]
    wide = bool(_UNSPACED.match(text[start]))
    if before and before.isalnum() and (wide or not _UNSPACED.match(before)):
        return False
    if after and after.isalnum() and not _UNSPACED.match(after):
        return False
    if wide and after and _UNSPACED.match(after) and not re.match(r"[은는이가입번예です]", after):
        return False
    if text[start].isascii() and ((before in "'+" and before) or after == "+"):
        return False
    if before == "-" and text[start - 2 : start - 1].isalnum():
        return False
    if after == "-" and text[end + 1 : end + 2].isalnum():
        return False
    if after == "'" and re.match(r"'(?:s|ll|d|t|re|ve)\b", text[end : end + 4]):
        return False
    # Combining vowel signs of Indic scripts belong to the letter before them.
    return not (after and unicodedata.category(after) in ("Mc", "Mn"))


def _label_form(text: _Around, start: int, end: int) -> bool | None:
    """Whether a letter names an option: True, only beside words that say so (False), or not at all (None)."""
    before, after = text.text[max(0, start - _RUN) : start], text.text[end : end + _RUN]
    if text.name_before(start):
        return None
    if re.match(r"[ \-]", after) and lexicon.NO_LABEL_AFTER.match(after.lstrip(" -")):
        return None
    tail, closes = before.rstrip(" "), after.lstrip(" ")
    if tail.endswith(("(", "[")) and closes.startswith((")", "]")):
        return True
    letter = text.cased[start:end]
    lower = letter.islower() and letter.upper() != letter
    if after.startswith((")", "]")) and not _opened(before):
        return True
    if text.option_before(start):
        return not _ARTICLE.match(after) if text.text[start] == "a" else True
    if lower and text.text[start] in _WORDS and re.match(r" [^\W\d_]", after):
        return False if text.text[start] == "a" and not _ARTICLE.match(after) else None
    if lower:
        return False
    if text.text[start] in _WORDS and (_ARTICLE.match(after) or _cyrillic_word(letter, after)):
        return None
    return text.text[start] not in _WORDS or letter.isascii()


def _opened(before: str) -> bool:
    """Whether a bracket is still open, so that the one after the letter closes it."""
    return before.rfind("(") > before.rfind(")")


def _cyrillic_word(letter: str, after: str) -> bool:
    return not letter.isascii() and bool(re.match(r" [^\W\d_]", after)) and not lexicon.JOIN.match(after[1:])


def _places(text: _Around, choices: Choices) -> Iterator[Mention]:
    for place, pattern in enumerate(lexicon.ORDINALS[: choices.count]):
        for match in pattern.finditer(text.text):
            yield Mention(match.start(), match.end(), frozenset({place}), "place", firm=_beside_option(text, match))
    if not choices.lettered:
        return
    for match in _DIGIT.finditer(text.text):
        place = int(match[1]) - 1
        if 0 <= place < choices.count:
            firm = text.option_before(match.start())
            yield Mention(match.start(), match.end(), frozenset({place}), "place", firm=firm)


def _beside_option(text: _Around, match: re.Match[str]) -> bool:
    """An ordinal names an option where the word for option, or "one", stands beside it."""
    if match[0][-1:] in "번番":
        return True
    after = text.text[match.end() : match.end() + _RUN].lstrip(" 个個の")
    if re.match(r"one\b", after) or lexicon.OPTION.match(after):
        return True
    if match[0].split(" ")[0] in ("number", "option", "choice"):
        return True
    return text.option_before(match.start())


def follows(text: str, label: Mention, other: Mention) -> bool:
    """Whether ``other`` stands right after ``label``, as an option's text after its letter."""
    match = _AFTER_LABEL.match(text, label.end)
    return match is not None and match.end() >= other.start >= label.end
