"""What is wrong with a recipe's shape, in words: where, what was given, and the nearest allowed name."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from honewise.errors import Problem, near

from .schema import KINDS, Recipe, Stage

__all__ = ["dotted", "given", "in_file_order", "problems_of"]

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def dotted(parts: Sequence[Any]) -> str:
    return ".".join(str(part) for part in parts)


def given(value: Any) -> str:
    """A value as the reader of a message would know it again."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        short = value if len(value) <= 60 else value[:57] + "..."
        return f"{short!r} (text)"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return repr(value)


def problems_of(raw: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    """One problem for each place that is wrong; the arms of a union are told as one."""
    found: dict[str, list[ErrorDetails]] = {}
    places: dict[str, tuple[Any, ...]] = {}
    for detail in error.errors(include_url=False):
        place = _place(raw, detail)
        found.setdefault(dotted(place), []).append(detail)
        places[dotted(place)] = place
    return [
        Problem(path, _explain(raw, places[path], details))
        for path, details in found.items()
        if not (_only_types(details) and any(other.startswith(f"{path}.") for other in found))
    ]


def _only_types(details: list[ErrorDetails]) -> bool:
    """Said by arms of a union that the value was not meant for, where another arm looks further into it."""
    return all(detail["type"] in _WANTED for detail in details)


def _place(raw: Mapping[str, Any], detail: ErrorDetails) -> tuple[Any, ...]:
    """Pydantic's location without the names of union arms."""
    parts = list(detail["loc"])
    if len(parts) > 2 and parts[0] == "stages" and parts[2] in KINDS:
        del parts[2]
    node: Any = raw
    kept: list[Any] = []
    for index, part in enumerate(parts):
        if _holds(node, part):
            node = _at(node, [part])
        elif isinstance(node, Mapping) and part == "[key]":
            return tuple(kept)
        elif detail["type"] == "missing" and part == parts[-1]:
            return (*kept, part)
        elif index + 1 < len(parts) and _holds(node, parts[index + 1]):
            continue
        else:
            return tuple(kept)
        kept.append(part)
    return tuple(kept)


def _explain(raw: Mapping[str, Any], place: tuple[Any, ...], details: list[ErrorDetails]) -> str:
    detail = details[0]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key{near(str(place[-1]), _allowed(raw, place[:-1]))}"
    if kind == "missing":
        return "is missing"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return (
            f"no such kind of stage: {given(context.get('tag', _at(raw, place)))}{near(str(context.get('tag')), KINDS)}"
        )
    if kind == "literal_error" and len(details) == 1:
        options = [str(option) for option in _options(_annotation(raw, place))]
        return f"not one of the allowed words: {given(detail['input'])}{near(str(detail['input']), options)}"
    if kind == "value_error" and place[-1:] == ("url",):  # which may hold a password
        return str(context.get("error", detail["msg"]))
    if kind == "value_error":
        return f"{context.get('error', detail['msg'])!s}; given: {given(detail['input'])}"
    wanted = list(dict.fromkeys(_WANTED[item["type"]] for item in details if item["type"] in _WANTED))
    if wanted and detail["loc"][-1] == "[key]":
        return f"its key must be {' or '.join(wanted)}; given: {given(detail['input'])}"
    if wanted and place[-3:-1] == ("rubric", "rewards"):
        return f"must be a number, its weight, null, which drops it, or a mapping; given: {given(detail['input'])}"
    if kind == "too_short" and isinstance(detail["input"], Mapping):
        there = near("", KINDS) if place == ("stages",) else ""
        return f"is empty, and needs at least {context['min_length']}{there}"
    if wanted:
        value = _at(raw, place)
        return f"must be {' or '.join(wanted)}; given: {given(value)}{_hint(value, wanted, place)}"
    if kind in ("string_pattern_mismatch", "string_too_long") and place[-1:] == ("api_key_env",):
        return "must be the name of an environment variable, such as OPENAI_API_KEY, and not the key itself"
    if kind == "string_pattern_mismatch":
        return f"must be letters, digits, '-' and '_'; given: {given(detail['input'])}"
    rule = detail["msg"].replace("Input should be", "must be").replace(" after validation", "")
    return f"{rule[:1].lower()}{rule[1:]}; given: {given(detail['input'])}"


_NAMED_BY = {"domain": "use", "rubric": "preset"}
"""Sections that are often written as the one name in them."""


def _hint(value: Any, wanted: list[str], place: tuple[Any, ...]) -> str:
    if isinstance(value, str) and place and place[-1] in _NAMED_BY:
        return f"; write {{{_NAMED_BY[place[-1]]}: {value}}}"
    if isinstance(value, str) and any("number" in want for want in wanted):
        try:
            return f"; write {float(value):g} without quotes or underscores"
        except ValueError:
            return ""
    return ""


def _at(raw: Any, place: Sequence[Any]) -> Any:
    for part in place:
        raw = raw[part]
    return raw


def _annotation(raw: Mapping[str, Any], place: Sequence[Any]) -> Any:
    """The type that the schema gives to the value at ``place``; None where it says nothing."""
    annotation: Any = Recipe
    node: Any = raw
    for part in place:
        node = node[part] if _holds(node, part) else None
        models = list(_models(annotation))
        if not models:
            annotation = _item(annotation)
            continue
        model = models[0]
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        annotation = fields.get(str(part)) if _is_model(annotation) else _item(annotation)
        if annotation is not None and len(list(_models(annotation))) > 1 and isinstance(node, Mapping):
            annotation = KINDS.get(str(node.get("stage")), annotation)
    return annotation


def _holds(node: Any, part: Any) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, Mapping) and part in node


def _is_model(annotation: Any) -> bool:
    """True for a model or a union with one; false for a mapping or list of models."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    if typing.get_origin(annotation) in (dict, list):
        return False
    return any(_is_model(argument) for argument in typing.get_args(annotation))


def _item(annotation: Any) -> Any:
    """What a mapping or list of this type holds."""
    if typing.get_origin(annotation) in (dict, list):
        return typing.get_args(annotation)[-1]
    items = [_item(argument) for argument in typing.get_args(annotation)]
    return next((item for item in items if item is not None), None)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models(argument)


def _options(annotation: Any) -> Iterator[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
    else:
        for argument in typing.get_args(annotation):
            yield from _options(argument)


def _allowed(raw: Mapping[str, Any], place: Sequence[Any]) -> list[str]:
    """Keys that the schema knows in the mapping at ``place``."""
    models = list(_models(_annotation(raw, place)))
    return [field.alias or name for name, field in models[0].model_fields.items()] if models else []


def in_file_order(raw: Mapping[str, Any], problems: Sequence[Problem]) -> list[Problem]:
    """Problems in the order of the recipe's keys; those of the whole recipe first, each said once."""
    order: dict[str, int] = {}

    def walk(node: Any, path: str) -> None:
        order[path] = len(order)
        items = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
        for key, item in items:
            walk(item, f"{path}.{key}" if path else str(key))

    walk(raw, "")

    def rank(problem: Problem) -> int:
        path = problem.path
        while path and path not in order:
            path = path.rpartition(".")[0]
        return order[path]

    return sorted(dict.fromkeys(problems), key=rank)


assert set(KINDS) == {model.model_fields["stage"].default for model in _models(Stage)}, "every kind of stage is listed"
