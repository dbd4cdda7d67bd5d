"""Function calls against accepted values, after the checker of the Berkeley Function-Calling Leaderboard.

Facts of that checker that are kept: the set of calls must match without regard to order, each with the right name,
every required argument, no argument that the function does not have, and for each a value of the declared type that is
among the accepted ones; ``""`` among them means that it may be left out. Text is compared without case, blanks and the
signs ``,./-_*^``. Ours: an argument given by position counts as the declared parameter at that place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .calls import NOT_PLAIN, Argument, Call

__all__ = ["Judged", "accepts", "gold_call", "judge", "units_of"]

_IGNORED = re.compile(r"[ ,./\-_*^]")
_TYPES: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "float": (int, float),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
    "array": (list, tuple),
    "tuple": (list, tuple),
    "dict": (dict,),
    "object": (dict,),
}


@dataclass(frozen=True, slots=True)
class Judged:
    """One call beside one accepted call."""

    call: Call
    paid: tuple[Argument, ...]
    """Right, and not to be left out: an argument that may be left out earns nothing."""
    wrong: tuple[Argument, ...]
    wrong_values: tuple[Argument, ...]
    """Those of the wrong ones that the function has, given once, with a value that is not accepted."""
    missing: tuple[str, ...]

    @property
    def perfect(self) -> bool:
        return not self.wrong and not self.missing and self.call.plain


def judge(call: Call, accepted: Mapping[str, Any], functions: Sequence[Mapping[str, Any]]) -> Judged | None:
    """None where another function is called. ``accepted`` is ``{name: {argument: [values]}}``."""
    ((name, values),) = accepted.items()
    if call.name != name:
        return None
    spec = next((each for each in functions if each.get("name") == name), {})
    properties = (spec.get("parameters") or {}).get("properties") or {}
    paid: list[Argument] = []
    wrong: list[Argument] = []
    off: dict[str, Argument] = {}
    given = set[str]()
    names, needed = list(properties), _needed(values)
    for place, argument in enumerate(call.arguments):
        known = argument.name or (names[place] if place < len(names) else "")
        fits = known in values and known not in given
        if fits and accepts(argument.value, values[known], properties.get(known) or {}):
            given.add(known)
            paid += [argument] if known in needed else []
        else:
            wrong.append(argument)
            if fits:
                off.setdefault(known, argument)
    missing = tuple(each for each in needed if each not in given)
    wrong_values = tuple(argument for known, argument in off.items() if known not in given)
    return Judged(call, tuple(paid), tuple(wrong), wrong_values, missing)


def units_of(accepted: Mapping[str, Any]) -> int:
    """What a perfect call has: its name and each argument that must be given."""
    ((_, values),) = accepted.items()
    return 1 + len(_needed(values))


def _needed(values: Mapping[str, Sequence[Any]]) -> list[str]:
    return [name for name, options in values.items() if "" not in options]


def accepts(value: Any, options: Sequence[Any], spec: Mapping[str, Any]) -> bool:
    """Whether ``value`` has the declared type and is one of the accepted ``options``."""
    if value is NOT_PLAIN:
        return False
    types = _TYPES.get(str(spec.get("type")))
    if types is not None:
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return False
        if isinstance(value, int | float) and not isinstance(value, bool) and not _finite(value):
            return False
    return any(_same(value, option) for option in options)


def _finite(value: int | float) -> bool:
    return value == value and value not in (float("inf"), float("-inf"))


def _same(value: Any, option: Any) -> bool:
    if isinstance(value, str) and isinstance(option, str):
        return _plain(value) == _plain(option)
    if isinstance(value, bool) or isinstance(option, bool):
        return value is option
    if isinstance(value, int | float) and isinstance(option, int | float):
        return value == option
    if isinstance(value, list | tuple) and isinstance(option, list | tuple):
        pairs = zip(value, option, strict=False)
        return len(value) == len(option) and all(_same(one, other) for one, other in pairs)
    if isinstance(value, dict) and isinstance(option, dict):
        return _same_objects(value, option)
    return type(value) is type(option) and bool(value == option)


def _same_objects(value: Mapping[Any, Any], option: Mapping[str, Any]) -> bool:
    """In accepted objects, each key has a list of accepted values, too."""
    lists = {key: each if isinstance(each, list) else [each] for key, each in option.items()}
    if any(key not in lists for key in value):
        return False
    return all(
        any(_same(value[key], each) for each in options) if key in value else "" in options
        for key, options in lists.items()
    )


def _plain(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


def gold_call(accepted: Mapping[str, Any]) -> str:
    """The call with the first accepted value of each argument that it must give, as Python."""
    ((name, values),) = accepted.items()
    given = [f"{argument}={_first(values[argument])!r}" for argument in _needed(values)]
    return f"{name}({', '.join(given)})"


def _first(options: Sequence[Any]) -> Any:
    option = next(each for each in options if each != "")
    return _chosen(option)


def _chosen(option: Any) -> Any:
    """In objects, the first accepted value of each key that must be there."""
    if isinstance(option, dict):
        lists = {key: each if isinstance(each, list) else [each] for key, each in option.items()}
        return {key: _first(options) for key, options in lists.items() if "" not in options}
    if isinstance(option, list):
        return [_chosen(each) for each in option]
    return option
