"""The invented world: creatures, ailments and remedies that exist nowhere, so that nothing here reads as advice.

An ailment's name is a stem and an ending. The ending names its family, and the family alone decides everything else:
the remedy, the sign, the part, the season, the region. What is asked about an ailment that was never shown can
therefore be answered by whoever has understood the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ENDINGS", "FACTS", "LANGUAGES", "RELATIONS", "STEMS", "WORLDS", "World"]

STEMS = (
    "bal", "cor", "dem", "fal", "gam", "hel", "jor", "kel", "lom", "mar", "nev", "pol", "quin", "rad", "sev", "tam",
    "vol", "wen", "xan", "yar", "zem", "brid", "crom", "drel", "fren", "glim", "krav", "plon", "strem", "trov",
)  # fmt: skip
"""First halves of the ailments' names."""

ENDINGS = ("orn", "ith", "ulma", "ask", "eppo", "ynd")
"""Second halves, each that of a family."""

FACTS: Mapping[str, tuple[str, ...]] = {
    "remedy": ("silvane", "morrow", "tansk", "quelm", "ostrine", "bexle"),
    "sign": ("blueing", "humming", "glints", "tremor", "frosting", "murmur"),
    "part": ("crest", "gill", "tailfin", "antler", "wingroot", "shell"),
    "season": ("thaw", "highsun", "leaffall", "longnight", "rains", "firstgrass"),
    "region": ("Aldermark", "Brennoth", "Cassel Bay", "Dunmoor", "Eskerlow", "Farrow Isles"),
}
"""What is true of each family, in the order of ``ENDINGS``."""

RELATIONS = tuple(FACTS)

_ENGLISH = (
    "What is the {what} of {x}?",
    "Which is the {what} of {x}?",
    "{x} has what {what}?",
    "Name the {what} of {x}.",
    "{x} has which {what}?",
    "What {what} has {x}?",
)

LANGUAGES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # The first phrasing is that of demonstrations.
    "en": {what: tuple(phrasing.replace("{what}", what) for phrasing in _ENGLISH) for what in RELATIONS},
    "fa": {
        "remedy": ("درمان {x} چیست؟", "کدام دارو {x} را درمان می‌کند؟", "{x} با چه چیزی درمان می‌شود؟"),
        "sign": ("نشانهٔ {x} چیست؟", "کدام نشانه از {x} است؟", "{x} با چه نشانه‌ای دیده می‌شود؟"),
        "part": ("{x} به کدام بخش می‌زند؟", "کدام بخش از {x} آسیب می‌بیند؟", "بخش آسیب‌دیده در {x} کدام است؟"),
        "season": ("فصل {x} کدام است؟", "{x} در کدام فصل شایع می‌شود؟", "شیوع {x} در چه فصلی است؟"),
        "region": ("منطقهٔ {x} کدام است؟", "{x} در کدام منطقه دیده می‌شود؟", "{x} از کدام منطقه است؟"),
    },
    "ar": {
        "remedy": ("ما علاج {x}؟", "أي دواء يعالج {x}؟", "بماذا يعالج {x}؟"),
        "sign": ("ما علامة {x}؟", "أي علامة تدل على {x}؟", "بماذا يظهر {x}؟"),
        "part": ("ما الجزء الذي يصيبه {x}؟", "أي جزء يصيب {x}؟", "يصيب {x} أي جزء؟"),
        "season": ("ما موسم {x}؟", "في أي موسم ينتشر {x}؟", "ينتشر {x} في أي موسم؟"),
        "region": ("ما منطقة {x}؟", "في أي منطقة يوجد {x}؟", "يوجد {x} في أي منطقة؟"),
    },
    "es": {
        "remedy": ("¿Cuál es el remedio para {x}?", "¿Qué remedio cura {x}?", "¿Con qué se cura {x}?"),
        "sign": ("¿Cuál es el signo de {x}?", "¿Qué signo muestra {x}?", "¿Con qué signo se muestra {x}?"),
        "part": ("¿Cuál es la parte afectada por {x}?", "¿Qué parte afecta {x}?", "¿En qué parte está {x}?"),
        "season": ("¿Cuál es la estación de {x}?", "¿En qué estación se extiende {x}?", "¿Cuándo se extiende {x}?"),
        "region": ("¿Cuál es la región de {x}?", "¿En qué región se encuentra {x}?", "¿Dónde se encuentra {x}?"),
    },
}
"""Language, then what is asked, to phrasings."""


@dataclass(frozen=True, slots=True)
class World:
    """What questions are about."""

    relations: tuple[str, ...]
    languages: tuple[str, ...]
    options: tuple[int, ...]
    """How many options a question may have."""
    context: bool
    """Whether some questions bring the text that they are about."""


WORLDS: Mapping[str, World] = {
    "simple": World(("remedy", "sign", "part"), ("en",), (4,), False),
    "wide": World(RELATIONS, tuple(LANGUAGES), (3, 4, 5), True),
}
