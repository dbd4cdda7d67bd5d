"""The locale slot of the judge templates: values and conventions to judge by, after AceGPT (2309.12053).

What is shipped are neutral conventions of writing, our own words. A recipe may give any text in their place.
"""

from __future__ import annotations

__all__ = ["LOCALES", "locale_text"]

LOCALES = {
    "": "No particular place: judge by the content alone; no country's spelling, units or names are better.",
    "ar": "Readers of Modern Standard Arabic. Generic names of drugs in Arabic letters are as good as Latin ones; SI"
    " units; a formal register. Customs of patients and families are spoken of with respect, never as errors.",
    "fa": "Readers of formal Persian. Persian terms and established loan words are equally good; SI units; Persian or"
    " Latin digits. Customs of patients and families are spoken of with respect, never as errors.",
    "hi": "Readers of Hindi. Medical terms in English or in Devanagari are equally good; SI units; a polite register.",
    "zh": "Readers of Mandarin Chinese. Generic names in Chinese characters or Latin letters are equal; SI units.",
}


def locale_text(locale: str) -> str:
    """The text of a locale by its code, or ``locale`` itself where it is no code.

    >>> locale_text("Readers in a mountain village.")
    'Readers in a mountain village.'
    """
    return LOCALES.get(locale, locale)
