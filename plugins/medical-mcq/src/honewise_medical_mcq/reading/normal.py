"""Text in one form for comparison, each character of which knows where it stood.

Width, ligatures, accents of Latin, Greek and Cyrillic, vowel marks of Arabic and Hebrew, the two keyboards of Arabic
and Persian, digits of every script, quotes, dashes, Markdown and LaTeX: none of it changes what was chosen. Case is
kept in ``cased`` and dropped in ``text``; both have one length.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Normal", "fold", "normal"]

_ARABIC = str.maketrans(
    {
        **dict.fromkeys("يىئۍېے", "ی"),
        "ك": "ک",
        **dict.fromkeys("ةۀہھۂ", "ه"),
        **dict.fromkeys("أإآٱ", "ا"),
        "ؤ": "و",
        "ں": "ن",
    }
)
_MARKS = {
    **dict.fromkeys("\u2018\u2019\u201b\u02bc\u05f3", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\u300c\u300d\u300e\u300f\u2039\u203a\u05f4", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u30fc", "-"),
    **dict.fromkeys("\u3010\u3014\u3016\uff3b", "["),
    **dict.fromkeys("\u3011\u3015\u3017\uff3d", "]"),
    **dict.fromkeys("\u3001\u060c\uff0c\u066b", ","),
    **dict.fromkeys("\u061b\uff1b", ";"),
    **dict.fromkeys("\u06d4\u0964\u0965\u3002\uff61\u2026", "."),
    "\u061f": "?",
    "\u200c": " ",
    "\u0131": "i",
    "\u00ad": "",
    "\r": "\n",
    **dict.fromkeys("\x0b\x0c\x85\u2028\u2029", "\n"),
    **dict.fromkeys("*`_#$~{}|<>\u2022\u25cf\u2713\u2714\u2705", " "),
}
_DROPPED = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u200b\u200d-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufe0f]"
)
_LATEX = re.compile(
    r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|bb|cal)|operatorname|displaystyle|boxed|fbox|quad|bf|rm|,|;|!)"
    r"|\\[()\[\]]"
)
_DECOMPOSED = ("LATIN", "GREEK", "CYRILLIC")


@dataclass(frozen=True, slots=True)
class Normal:
    """A text in its one form."""

    text: str
    """Lower case."""
    cased: str
    at: tuple[int, ...]
    """Where each character stood in the original, and at the end the original's length."""

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original of ``text[start:end]``."""
        return self.at[start], self.at[end - 1] + 1 if end > start else self.at[start]


@lru_cache(maxsize=8192)
def _plain(character: str) -> str:
    """What one character becomes: nothing, or one or several characters."""
    if character in _MARKS:
        return _MARKS[character]
    if character.isascii():
        return character
    if _DROPPED.match(character):
        return ""
    if unicodedata.category(character) == "Nd":
        return str(unicodedata.digit(character))
    made = unicodedata.normalize("NFKC", character)
    if unicodedata.name(character, "").startswith(_DECOMPOSED):
        made = unicodedata.normalize("NFKD", made)
    made = _DROPPED.sub("", made).translate(_ARABIC)
    if made != character and len(made) == 1 and made in _MARKS:
        made = _MARKS[made]
    return " " if made.isspace() else made


def normal(text: str) -> Normal:
    """``text`` in its one form: runs of blanks are one blank, runs of line ends one line end.

    >>> normal("**Ａ)**  Café").text
    ' a) cafe'
    """
    dressed = _LATEX.sub(lambda match: " " * len(match[0]), text)
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(dressed):
        for made in _plain(character):
            if made in " \t\n\xa0":
                made = "\n" if made == "\n" else " "
                last = characters[-1] if characters else ""
                if last == made or (last == "\n" and made == " "):
                    continue
                if made == "\n" and last == " ":
                    characters[-1] = "\n"
                    continue
            characters.append(made)
            places.append(place)
    cased = "".join(characters)
    lower = "".join(low if len(low := letter.lower()) == 1 else letter for letter in cased)
    return Normal(lower, cased, (*places, len(text)))


@lru_cache(maxsize=8192)
def fold(text: str) -> str:
    """A short text, such as an option, for comparison: in its one form, without what stands around it."""
    return normal(text).text.replace("\n", " ").strip(" .,;:!?\"'")
