"""Which language and script a text is in, as far as a multiple-choice question needs to know.

Scripts are counted letter by letter; languages that share a script are told apart by letters and words that only one of
them uses. Where that is not enough the script's most usual language is named. No model, no dependency.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache

__all__ = ["RIGHT_TO_LEFT", "language_of", "letters_by_script", "script_of", "scripts_of_language"]

RIGHT_TO_LEFT = frozenset({"ar", "fa", "ur", "he"})
"""Languages that are written from right to left."""

_BY_SCRIPT = {
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "BENGALI": "bn",
    "HANGUL": "ko",
    "CJK": "zh",
    "CYRILLIC": "ru",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
}
_SCRIPTS = {
    **dict.fromkeys(("ar", "fa", "ur"), frozenset({"ARABIC"})),
    "he": frozenset({"HEBREW"}),
    "el": frozenset({"GREEK"}),
    "hi": frozenset({"DEVANAGARI"}),
    "bn": frozenset({"BENGALI"}),
    "ko": frozenset({"HANGUL"}),
    "zh": frozenset({"CJK"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA"}),
    "ru": frozenset({"CYRILLIC"}),
}
_LATIN_WORDS = {
    "en": "the of and to is in which with for what a",
    "es": "el la los las de del y en que cuál una por con es",
    "fr": "le la les des du et en que quel quelle une est dans pour ces lequel laquelle fait avec",
    "de": "der die das und ist ein eine welche welcher welches dieser diese dieses mit von bei zu",
    "tr": "ve bir hangi hangisi için ile aşağıdaki aşağıdakilerden en olan değildir",
    "pt": "não uma são qual seguinte é com para",
}
_WORD = re.compile(r"[^\W\d_]+")
_HEAD = 4000


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str:
    """The first word of a letter's Unicode name: LATIN, ARABIC, CJK, ...; fullwidth and styled letters are LATIN."""
    name = unicodedata.name(letter, "")
    first = name.partition(" ")[0]
    return "LATIN" if first in ("FULLWIDTH", "MATHEMATICAL") else first


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each script a text has."""
    return Counter(script_of(letter) for letter in text if letter.isalpha())


def scripts_of_language(language: str) -> frozenset[str]:
    """The scripts a language is written in; LATIN where it is not known to be written otherwise."""
    return _SCRIPTS.get(language, frozenset({"LATIN"}))


def language_of(text: str) -> str:
    """The code of the text's language (ISO 639-1), empty for a text without letters.

    >>> language_of("کدام گزینه درست است؟"), language_of("ما هي الإجابة الصحيحة؟"), language_of("Which one is it?")
    ('fa', 'ar', 'en')
    """
    counts = letters_by_script(text[:_HEAD])
    if not counts:
        return ""
    # Names and units of medicine are Latin in every language: another script counts from a quarter on.
    others = Counter({script: count for script, count in counts.items() if script != "LATIN"})
    top, count = others.most_common(1)[0] if others else ("LATIN", 0)
    if count * 4 < sum(counts.values()):
        return _latin(text)
    if counts["HIRAGANA"] or counts["KATAKANA"]:
        return "ja"
    if top == "ARABIC":
        return _arabic(text)
    return _BY_SCRIPT.get(top, "")


def _arabic(text: str) -> str:
    if re.search("[ٹڈڑںےھ]", text):
        return "ur"
    # Each letter stands on one kind of keyboard alone; data sets mix them, so the more frequent kind decides.
    persian = len(re.findall("[پچژگکی]", text))
    return "fa" if persian > len(re.findall("[ةىيكإأؤ]", text)) else "ar"


def _latin(text: str) -> str:
    words = Counter(word.casefold() for word in _WORD.findall(text[:_HEAD]))
    scores = {language: sum(words[word] for word in known.split()) for language, known in _LATIN_WORDS.items()}
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] else "en"
