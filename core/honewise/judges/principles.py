"""Constitutions: principles in a file, by which answers are critiqued, revised and compared.

::

    # principles.yaml
    name: plain-medicine
    principles:
      - id: no-false-calm
        critique: Say where the answer plays down a danger.
        revision: Rewrite the answer so that every danger is named as it is.
        prefer: Choose the answer that names dangers as they are.
        against: Choose the answer that plays dangers down.
        weight: 2
        domain: medical-mcq
        locale: en
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from honewise.errors import Problem, RecipeError, UserError, near
from honewise.recipes import yaml12
from honewise.recipes.explain import given
from honewise.recipes.load import read_text

__all__ = ["Constitution", "Principle", "covers", "load_constitution", "parsed", "uniform"]


@dataclass(frozen=True, slots=True)
class Principle:
    """One principle, in the forms in which it is used."""

    id: str
    critique: str = ""
    """Asks what is wrong with an answer by this principle."""
    revision: str = ""
    """Asks for the answer without that."""
    prefer: str = ""
    """Says which of two answers to choose."""
    against: str = ""
    """Its negation: says to choose the other one."""
    weight: float = 1.0
    """How often it is drawn, relative to the others."""
    domain: str = ""
    """The domain that it is for; any, where nothing is said."""
    locale: str = ""
    """The language, or language and region (``ar``, ``ar-EG``), that it is for; any, where nothing is said."""

    def words(self, *, negated: bool = False) -> str:
        """How it is told to whoever compares by it; negated, ``against``, or words that mean the opposite."""
        if not negated:
            return self.prefer
        return self.against or f"Choose the answer that fits this less well: {self.prefer}"


@dataclass(frozen=True, slots=True)
class Constitution:
    """Principles, as a file holds them."""

    principles: tuple[Principle, ...]
    name: str = ""

    @property
    def hash(self) -> str:
        """SHA-256, in hex, of all that it says."""
        plain = [asdict(principle) for principle in self.principles]
        return hashlib.sha256(json.dumps(plain, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def get(self, identity: str) -> Principle:
        for principle in self.principles:
            if principle.id == identity:
                return principle
        raise UserError(f"no principle {identity!r}{near(identity, [each.id for each in self.principles])}")

    def fitting(self, *, use: str = "", domain: str | None = None, locale: str | None = None) -> Constitution:
        """Those that have words for ``use`` (a field: critique, prefer, ...) and are for this domain and locale.

        Raises ``UserError`` where none is left.
        """
        found = tuple(
            principle
            for principle in self.principles
            if (not use or getattr(principle, use))
            and (domain is None or principle.domain in ("", domain))
            and (locale is None or covers(principle.locale, locale))
        )
        if not found:
            wanted = [
                f"{key} {value!r}" for key, value in (("domain", domain), ("locale", locale)) if value is not None
            ]
            having = f" with words for {use!r}" if use else ""
            raise UserError(
                f"constitution {self.name!r} has no principle{having}{' for ' + ' and '.join(wanted) if wanted else ''}"
            )
        return Constitution(found, self.name)

    def draw(self, count: int, *, seed: int, key: str = "", distinct: bool = True) -> tuple[Principle, ...]:
        """Principles drawn by weight: the same for the same seed and key, whatever their order in the file.

        Args:
            count: how many; with ``distinct`` at most all.
            key: what they are drawn for, such as a prompt.
            distinct: each once; else each draw is one from all.
        """
        if not distinct:
            return tuple(self.draw(1, seed=seed, key=f"{key}\0{turn}")[0] for turn in range(count))

        def priority(principle: Principle) -> tuple[float, str]:
            # Of independent exponential times with these rates, the first to come is i with probability w_i / sum w.
            return -math.log(1 - uniform(seed, key, principle.id)) / principle.weight, principle.id

        return tuple(sorted(self.principles, key=priority)[:count])


def load_constitution(source: str | Path | Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Constitution:
    """Principles from a YAML or JSON file, or from what one would hold: a list, or a mapping with ``name`` and
    ``principles``. Raises ``RecipeError`` with every problem at once."""
    raw: Any = source
    name, shown = "", "constitution"
    if isinstance(source, str | Path):
        shown, name = str(source), Path(source).stem
        raw = parsed(read_text(Path(source)), shown)
    problems: list[Problem] = []
    if isinstance(raw, Mapping):
        unknown = [str(key) for key in raw if key not in ("name", "principles")]
        problems += [Problem(key, f"unknown key{near(key, ['name', 'principles'])}") for key in unknown]
        name = raw.get("name", name)
        if not isinstance(name, str):
            problems.append(Problem("name", f"must be text; given: {given(name)}"))
        raw = raw.get("principles")
    if not isinstance(raw, Sequence) or isinstance(raw, str) or not raw:
        problems.append(Problem("principles", f"must be a list of at least one principle; given: {given(raw)}"))
        raise RecipeError(shown, problems)
    seen: dict[str, int] = {}
    for place, each in enumerate(raw):
        problems += _problems(f"principles.{place}", each, seen, place)
    if problems:
        raise RecipeError(shown, problems)
    return Constitution(tuple(Principle(**{**each, "weight": float(each.get("weight", 1.0))}) for each in raw), name)


def uniform(seed: int, *key: str) -> float:
    """A number from 0 to 1 that follows from a seed and a key."""
    digest = hashlib.sha256("\0".join([str(seed), *key]).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def parsed(text: str, name: str) -> Any:
    """What a YAML or, by its name, JSON file holds. Raises ``RecipeError``."""
    if not name.endswith(".json"):
        return yaml12.parse(text, name)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecipeError(name, [Problem("", f"is not JSON: {error}")]) from None


_TEXTS = tuple(field.name for field in fields(Principle) if field.name != "weight")


def _problems(path: str, each: Any, seen: dict[str, int], place: int) -> Iterator[Problem]:
    if not isinstance(each, Mapping):
        yield Problem(path, f"must be a mapping; given: {given(each)}")
        return
    for key in each:
        if key not in (*_TEXTS, "weight"):
            yield Problem(f"{path}.{key}", f"unknown key{near(str(key), (*_TEXTS, 'weight'))}")
    for key in _TEXTS:
        if key in each and not isinstance(each[key], str):
            yield Problem(f"{path}.{key}", f"must be text; given: {given(each[key])}")
    identity = each.get("id")
    if identity is None or identity == "":
        yield Problem(f"{path}.id", "is missing")
    elif isinstance(identity, str):
        if identity in seen:
            yield Problem(f"{path}.id", f"{identity!r} is the id of principle {seen[identity]} already")
        seen.setdefault(identity, place)
    weight = each.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        yield Problem(f"{path}.weight", f"must be a number above 0; given: {given(weight)}")
    says = {key for key in ("critique", "revision", "prefer", "against") if each.get(key)}
    for one, other in (("critique", "revision"), ("revision", "critique"), ("against", "prefer")):
        if one in says and other not in says:
            yield Problem(f"{path}.{other}", f"is missing: the principle has {one!r}, which goes with it")
    if not says:
        yield Problem(path, "says nothing: give critique and revision, or prefer, or all three")


def covers(locale: str, wanted: str) -> bool:
    """Whether what is for ``locale`` serves where ``wanted`` is asked for: none serves any, ``ar`` serves ``ar-EG``."""
    one, other = locale.casefold().replace("_", "-"), wanted.casefold().replace("_", "-")
    return not one or one == other or other.startswith(f"{one}-")
