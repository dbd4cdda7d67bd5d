"""Prompt and judge text: files of a package with ``{{name}}`` placeholders, filled in one pass.

A value is never scanned again, so text a model wrote cannot open a placeholder; single braces and JSON stay as
they are.
"""

from __future__ import annotations

import functools
import importlib
import re
import sys
from collections.abc import Callable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from .contracts import JudgeTemplate
from .errors import UserError, near

__all__ = ["home_of", "load", "render", "slots_in_order", "slots_of"]

_SLOT = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")


def slots_of(template: str) -> frozenset[str]:
    """The names of all placeholders.

    >>> sorted(slots_of("{{question}} as {'json': {{ style }}}"))
    ['question', 'style']
    """
    return frozenset(_SLOT.findall(template))


def slots_in_order(template: str) -> list[str]:
    """The names of all placeholders, each once, in the order in which they first stand."""
    return list(dict.fromkeys(_SLOT.findall(template)))


def render(template: str, slots: Mapping[str, str], quote: Callable[[str, str], str] | None = None) -> str:
    """``template`` with each ``{{name}}`` replaced by ``slots[name]``, or by ``quote(name, slots[name])``.

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
    return _SLOT.sub(lambda match: quote(match[1], slots[match[1]]) if quote else slots[match[1]], template)


def load(package: str, file: str) -> str:
    """The text of ``file``, a path with ``/`` inside ``package``, read as UTF-8; a byte order mark is dropped.

    A module that is no package has its files beside it.

    Raises ``UserError`` where there is no such package or file, or the path leaves the package.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or not path.parts or ".." in path.parts:
        raise UserError(f"template {file!r} of {package}: give a path inside the package, such as 'judges/polite.md'")
    root = _root(package, file)
    found = root.joinpath(*path.parts)
    if not found.is_file():
        folder = root.joinpath(*path.parts[:-1])
        raise UserError(f"{package} has no template {file!r}{near(path.name, _files(folder))}")
    try:
        return found.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"template {file!r} of {package} is not UTF-8: {error}") from error


def home_of(template: JudgeTemplate) -> str:
    """The package, or the module that is none, in which a judge template's file stands."""
    parser = template.parse.func if isinstance(template.parse, functools.partial) else template.parse
    module = template.package or str(getattr(parser, "__module__", ""))
    return module.partition(".")[0]


def _root(package: str, file: str) -> Traversable:
    try:
        module = sys.modules.get(package) or importlib.import_module(package)
        if hasattr(module, "__path__"):
            return resources.files(package)
    except (ModuleNotFoundError, TypeError, ValueError) as error:
        raise UserError(f"template {file!r}: {package!r} is not a package ({error})") from error
    place = getattr(module, "__file__", None)
    return Path(place).parent if place else Path.cwd()


def _files(folder: Traversable) -> list[str]:
    return [entry.name for entry in folder.iterdir() if entry.is_file()] if folder.is_dir() else []
