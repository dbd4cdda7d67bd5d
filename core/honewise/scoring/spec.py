"""Changing a preset by name: re-weighting, adding and dropping rewards, as recipes do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from honewise.contracts import Domain, Rubric, Term
from honewise.errors import UnknownName, UserError, near
from honewise.host import PluginHost

from .functions import find
from .gates import gates_of
from .scorer import chosen

__all__ = ["apply_rubric_spec", "changed", "reward_files"]

_FIELDS = tuple(each.name for each in fields(Term))
_WHERE = ("fn", "model", "segments", "cross_fit", "stages")
"""What a recipe says of a reward beside its place in the rubric: its source, how a model is asked, in which stages."""


def apply_rubric_spec(
    domain: Domain,
    preset: Rubric | str | None,
    changes: Mapping[str, Any],
    *,
    correct: str | None = None,
    cap_wrong: bool | None = None,
    host: PluginHost | None = None,
    others: Iterable[str] = (),
) -> Rubric:
    """A preset with changes.

    Args:
        domain: whose presets and rewards the names mean.
        preset: a rubric, a preset's name, or None for the domain's first.
        changes: by reward: None drops it; a number is its weight; a mapping (or a recipe's ``RewardSpec``) sets the
            fields of ``Term`` that it names. A reward that the preset does not have is added, with weight 1 if none is
            said.
        correct, cap_wrong: replace the preset's; None leaves them.
        host: where rewards registered outside the domain are looked up.
        others: names of further rewards that the caller will give to the ``Scorer``.

    Raises ``UnknownName`` for a reward or preset that does not exist, and ``UserError`` for a gate on a reward that the
    changed rubric does not have, and for a field that a term does not have.
    """
    rubric = chosen(domain, preset)
    terms: dict[str, Term] = {name: rubric.term(name) for name in rubric.terms}
    given = {*others, *reward_files(changes)}
    for name, change in changes.items():
        if change is None:
            if name not in terms:
                raise UnknownName("reward to drop", name, rubric.terms)
            del terms[name]
            continue
        if name not in terms and name not in given:
            find([name], domain, host=host)
        terms[name] = changed(name, terms.get(name, Term()), change)
    gates_of({name: term.when for name, term in terms.items()})
    decides = rubric.correct if correct is None else correct
    if decides is not None and decides not in terms:
        dropped = " is dropped" if decides in rubric.terms else " is not in the rubric"
        raise UserError(f"reward {decides!r}, which decides what is correct,{dropped}{near(decides, terms)}")
    return Rubric(terms, correct=decides, cap_wrong=rubric.cap_wrong if cap_wrong is None else cap_wrong)


def changed(name: str, term: Term, change: Any) -> Term:
    """A reward's place in a preset, with what ``change`` says of it. Raises ``UserError`` as ``apply_rubric_spec``."""
    return replace(term, **_settings(name, change))


def reward_files(changes: Mapping[str, Any]) -> dict[str, str]:
    """The rewards among ``changes`` that come from a file, as ``Scorer`` takes them."""
    places = {name: _plain(name, change).get("fn") for name, change in changes.items() if change is not None}
    return {name: place for name, place in places.items() if place is not None}


def _settings(name: str, change: Any) -> dict[str, Any]:
    settings = {key: value for key, value in _plain(name, change).items() if value is not None and key not in _WHERE}
    for key in settings:
        if key not in _FIELDS:
            raise UserError(f"reward {name!r}: a rubric's term has no {key!r}{near(key, (*_FIELDS, *_WHERE))}")
    if isinstance(settings.get("weight"), Mapping):
        settings["weight"] = {int(step): float(weight) for step, weight in settings["weight"].items()}
    if settings.get("clip") is not None:
        low, high = settings["clip"]
        settings["clip"] = (float(low), float(high))
    return settings


def _plain(name: str, change: Any) -> dict[str, Any]:
    if isinstance(change, Term):
        return {each: getattr(change, each) for each in _FIELDS}
    if isinstance(change, (int, float)) and not isinstance(change, bool):
        return {"weight": float(change)}
    if isinstance(change, Mapping):
        return dict(change)
    dump = getattr(change, "model_dump", None)
    if dump is None:
        raise UserError(f"reward {name!r}: give a weight, null to drop it, or a mapping; this is {change!r:.60}")
    settings: dict[str, Any] = dump(exclude_unset=True, exclude_none=True)
    return settings
