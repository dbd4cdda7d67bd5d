"""What gold completions say, in the language of the question. The wording is our own."""

from __future__ import annotations

__all__ = ["ruled_out"]

_RULED_OUT = {
    "en": "{} is ruled out.",
    "fa": "گزینه {} رد می‌شود.",
    "ar": "الخيار {} مستبعد.",
    "ur": "{} خارج ہے۔",
    "hi": "विकल्प {} खारिज है।",
    "bn": "বিকল্প {} বাতিল।",
    "zh": "排除选项{}。",
    "ja": "{}を除外します。",
    "ko": "{}를 제외합니다.",
    "ru": "Вариант {} исключается.",
    "el": "Το {} αποκλείεται.",
    "he": "אפשרות {} נפסלת.",
    "es": "La opción {} queda descartada.",
    "pt": "A opção {} está descartada.",
    "fr": "L'option {} est éliminée.",
    "de": "Option {} ist ausgeschlossen.",
    "tr": "{} seçeneği elendi.",
}


def ruled_out(label: str, language: str) -> str:
    """A sentence that rules an option out; in English where the language is not one of ours.

    >>> ruled_out("B", "es")
    'La opción B queda descartada.'
    """
    return _RULED_OUT.get(language, _RULED_OUT["en"]).format(label)
