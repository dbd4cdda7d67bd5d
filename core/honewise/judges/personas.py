"""Personas in a file, and the tasks that a model writes from their points of view (PiKa, 2510.06670).

Known of the paper: experts from a collection of personas, a strong model that writes instructions as they would ask,
several answers to each, of which a reward model keeps the best. The prompt, the order of personas, what is read from a
reply and what is dropped are our own choice.

::

    # personas.yaml
    personas:
      - {id: baker, text: "A baker who scales recipes up for a wedding.", locale: en}
      - {id: nurse, text: "A ward nurse who works out doses at night.", domain: arithmetic}
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from honewise.contracts import Judge, JudgeTemplate, Verdict
from honewise.errors import Problem, RecipeError, UserError, near
from honewise.recipes.explain import given
from honewise.recipes.load import read_text

from .asking import ask, single
from .principles import covers, parsed, uniform
from .read import last_object

__all__ = ["TASK", "Persona", "Personas", "load_personas", "row_reader", "write_row"]

LONGEST = 4000
"""Characters of one field."""


@dataclass(frozen=True, slots=True)
class Persona:
    """Somebody from whose point of view tasks are written."""

    id: str
    text: str
    """Who it is, in words."""
    domain: str = ""
    """The domain that it is for; any, where nothing is said."""
    locale: str = ""
    """The language, or language and region, that it is for; any, where nothing is said."""


@dataclass(frozen=True, slots=True)
class Personas:
    """Those of a file."""

    personas: tuple[Persona, ...]
    name: str = ""

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of all that it says."""
        plain = [asdict(persona) for persona in self.personas]
        return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def fitting(self, *, domain: str | None = None, locale: str | None = None) -> Personas:
        """Those for this domain and locale. Raises ``UserError`` where none is left."""
        found = tuple(
            persona
            for persona in self.personas
            if (domain is None or persona.domain in ("", domain)) and (locale is None or covers(persona.locale, locale))
        )
        if not found:
            wanted = {"domain": domain, "locale": locale}
            said = " and ".join(f"{key} {value!r}" for key, value in wanted.items() if value is not None)
            raise UserError(f"{self.name!r} has no persona for {said}")
        return Personas(found, self.name)

    def turns(self, count: int, *, seed: int) -> list[tuple[Persona, int]]:
        """``count`` turns: everybody once, in an order that follows from the seed, before anybody again; with how often
        that persona had a turn before."""
        found: list[tuple[Persona, int]] = []
        for turn in range(math.ceil(count / len(self.personas))):
            order = sorted(self.personas, key=lambda one: (uniform(seed, str(turn), one.id), one.id))
            found += [(persona, turn) for persona in order]
        return found[:count]


def load_personas(source: str | Path | Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Personas:
    """Personas from a YAML or JSON file, or from what one would hold: a list, or a mapping with ``name`` and
    ``personas``. Raises ``RecipeError`` with every problem at once."""
    raw: Any = source
    name, shown = "", "personas"
    if isinstance(source, str | Path):
        shown, name = str(source), Path(source).stem
        raw = parsed(read_text(Path(source)), shown)
    problems: list[Problem] = []
    if isinstance(raw, Mapping):
        problems += [
            Problem(str(key), f"unknown key{near(str(key), ['name', 'personas'])}")
            for key in raw
            if key not in ("name", "personas")
        ]
        name = raw.get("name", name)
        if not isinstance(name, str):
            problems.append(Problem("name", f"must be text; given: {given(name)}"))
        raw = raw.get("personas")
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        problems.append(Problem("personas", f"must be a list of at least one persona; given: {given(raw)}"))
        raise RecipeError(shown, problems)
    seen: dict[str, int] = {}
    for place, each in enumerate(raw):
        problems += _problems(f"personas.{place}", each, seen, place)
    if problems:
        raise RecipeError(shown, problems)
    return Personas(tuple(Persona(**each) for each in raw), name)


_KEYS = tuple(field.name for field in fields(Persona))


def _problems(path: str, each: Any, seen: dict[str, int], place: int) -> Iterator[Problem]:
    if not isinstance(each, Mapping):
        yield Problem(path, f"must be a mapping with id and text; given: {given(each)}")
        return
    for key, value in each.items():
        if key not in _KEYS:
            yield Problem(f"{path}.{key}", f"unknown key{near(str(key), _KEYS)}")
        elif not isinstance(value, str):
            yield Problem(f"{path}.{key}", f"must be text; given: {given(value)}")
    for key in ("id", "text"):
        if key not in each or each[key] == "":
            yield Problem(f"{path}.{key}", "is missing")
    identity = each.get("id")
    if isinstance(identity, str) and identity:
        if identity in seen:
            yield Problem(f"{path}.id", f"{identity!r} is the id of persona {seen[identity]} already")
        seen.setdefault(identity, place)


def _task_reader(wanted: Mapping[str, str], reply: str) -> Verdict:
    row = _row(wanted, reply)
    return Verdict(1.0, json.dumps(row, ensure_ascii=True))


def row_reader(wanted: Mapping[str, str], about: str) -> JudgeTemplate:
    """The template of a task about something that is made of ``wanted``: names of fields with what belongs there. The
    verdict's ``rationale`` is the row as JSON."""
    told = "\n".join(f"- {json.dumps(name)}: {words}" for name, words in wanted.items())
    asked = "Reply with one JSON object and nothing else. It has exactly these keys:"
    form = f"What tasks of this collection are about: {about}\n\n{asked}\n{told}"
    return replace(TASK, parse=partial(_task_reader, dict(wanted)), form=form)


TASK = JudgeTemplate("judges/prompts/task.md", partial(_task_reader, {}), "honewise")
"""Slot ``{{persona}}``; ``row_reader`` puts below it what is to be written."""


async def write_row(
    judge: Judge, template: JudgeTemplate, persona: Persona, *, turn: int = 0, temperature: float = 1.0
) -> dict[str, Any]:
    """What a model writes of one task as ``persona``, by the keys that ``template`` asks for; ``turn`` tells several
    tasks of one persona apart. Raises ``JudgeError`` where nothing readable comes, also when asked again."""
    one = single(judge, "writing tasks")
    sample = turn if temperature else 0
    asked = await ask(one, template, {"persona": persona.text}, sample=sample, temperature=temperature)
    row: dict[str, Any] = json.loads(asked.verdict.rationale)
    return row


def _row(wanted: Mapping[str, str], reply: str) -> dict[str, Any]:
    """The wanted keys of the last JSON object in a reply: short texts, numbers and booleans, and nothing else."""
    said = last_object(reply)
    if set(said) != set(wanted):
        raise ValueError(f"the JSON object must have exactly the keys {', '.join(wanted)}")
    row: dict[str, Any] = {}
    for name, value in said.items():
        if isinstance(value, str):
            text = value.strip()
            if not text or len(text) > LONGEST or "\0" in text or not _whole(text):
                raise ValueError(f"{name!r} must be a text of 1 to {LONGEST} characters")
            row[name] = text
        elif isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
            if len(str(value)) > 40:
                raise ValueError(f"{name!r} is too long a number")
            row[name] = value
        else:
            raise ValueError(f"{name!r} must be a text or a number")
    return row


def _whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
