"""The options of a domain: its factory's keyword arguments, checked against what a recipe gives."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from honewise.errors import UserError, near

__all__ = ["check_options", "fit_option", "options_of"]


def options_of(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The arguments that can be given by name; ``**anything`` is left out."""
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}


def check_options(domain: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` as the factory's annotations want them (a list becomes a tuple, text becomes a path).

    Raises ``UserError`` with every option that is unknown, missing, or of a type the annotation excludes.
    """
    allowed = options_of(factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(factory).parameters.values())
    hints = _hints(factory)
    checked: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in options.items():
        if name not in allowed and not open_ended:
            faults.append(f"domain {domain!r} has no option {name!r}{near(name, allowed)}")
            continue
        try:
            checked[name] = _fit(value, hints[name]) if name in hints and name in allowed else value
        except ValueError as error:
            faults.append(f"option {name!r} of domain {domain!r} is {value!r}: {error}")
    for name, parameter in allowed.items():
        if parameter.default is parameter.empty and name not in options:
            faults.append(f"domain {domain!r} needs the option {name!r}")
    if faults:
        raise UserError("\n".join(faults))
    return checked


def fit_option(function: Callable[..., Any], name: str, value: Any) -> Any:
    """One value as the function's annotation wants it, or as it is where none can be read; raises ``ValueError``."""
    hints = _hints(function)
    return _fit(value, hints[name]) if name in hints else value


def _hints(factory: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(factory)
    except Exception:  # annotations that cannot be resolved outside a type checker: nothing to check against
        return {}


def _fit(value: Any, hint: Any) -> Any:
    """``value`` as ``hint`` wants it, by the strict rules of JSON; raises ``ValueError`` with the reason."""
    from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

    try:
        adapter = TypeAdapter(hint, config=ConfigDict(strict=True))
    except PydanticUserError:  # the type brings its own settings
        try:
            adapter = TypeAdapter(hint)
        except PydanticSchemaGenerationError:
            return value
    except PydanticSchemaGenerationError:  # a class that pydantic does not know
        return value
    try:
        try:
            found = adapter.validate_json(json.dumps(value, allow_nan=False))
            return value if isinstance(found, Iterator) else found  # an ``Iterable`` would be used up by the first call
        except (TypeError, ValueError) as error:
            if isinstance(error, ValidationError):
                raise
            return adapter.validate_python(value)
    except ValidationError as error:
        raise ValueError("; ".join(problem["msg"] for problem in error.errors(include_url=False))) from None
