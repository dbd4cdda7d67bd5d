"""Rows of the Hugging Face hub: what columns of one type do to nested data, undone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ["hub_rows"]


def hub_rows(given: Iterable[Mapping[str, Any]], nested: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each row with its place. A column has one type, so objects with different keys come with every key, most of them
    null, or as JSON in a text: null keys of the columns ``nested`` are dropped, and text there is read as JSON."""
    names = frozenset(nested)
    for index, row in enumerate(given):
        yield f"row {index}", {name: _whole(value) if name in names else value for name, value in row.items()}


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return value
    return _filled(value)


def _filled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _filled(each) for key, each in value.items() if each is not None}
    return [_filled(each) for each in value] if isinstance(value, list | tuple) else value
