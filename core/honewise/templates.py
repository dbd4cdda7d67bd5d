"""Prompt and judge text: files of a package with ``{{name}}`` placeholders, filled in one pass.

A value is never scanned again, so text a model wrote cannot open a placeholder; single braces and JSON stay as
they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from .errors import UserError, near

__all__ = ["load", "render", "slots_of"]

_SLOT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def slots_of(template: str) -> frozenset[str]:
    """The names of all placeholders.

    >>> sorted(slots_of("{{question}} as {'json': {{ style }}}"))
    ['question', 'style']
    """
    return frozenset(_SLOT.findall(template))


def render(template: str, slots: Mapping[str, str]) -> str:
    """``template`` with each ``{{name}}`` replaced by ``slots[name]``.

    Raises ``UserError`` that names every placeholder without a value, every value without a placeholder, and every
    value that is not text.

    >>> render("Is {{answer}} right?", {"answer": "{{answer}}"})
    'Is {{answer}} right?'
    """
    wanted = slots_of(template)
    faults = [f"placeholder {name!r} has no value{near(name, slots)}" for name in sorted(wanted - slots.keys())]
    faults += [f"value {name!r} has no placeholder{near(name, wanted)}" for name in sorted(slots.keys() - wanted)]
    faults += [
        f"value {name!r} is of type {type(value).__name__}; give text"
        for name, value in sorted(slots.items())
        if not isinstance(value, str)
    ]
    if faults:
        raise UserError("template: " + "; ".join(faults))
    return _SLOT.sub(lambda match: slots[match[1]], template)


def load(package: str, file: str) -> str:
    """The text of ``file``, a path with ``/`` inside ``package``, read as UTF-8; a byte order mark is dropped.

    Raises ``UserError`` where there is no such package or file, or the path leaves the package.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise UserError(f"template {file!r} of {package}: give a path inside the package, such as 'judges/polite.md'")
    try:
        root = resources.files(package)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        raise UserError(f"template {file!r}: {package!r} is not a package ({error})") from error
    found = root.joinpath(*path.parts)
    if not found.is_file():
        folder = root.joinpath(*path.parts[:-1])
        raise UserError(f"{package} has no template {file!r}{near(path.name, _files(folder))}")
    try:
        return found.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"template {file!r} of {package} is not UTF-8: {error}") from error


def _files(folder: Traversable) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
