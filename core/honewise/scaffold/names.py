"""Which names a new domain or reward may have, and what to call it where it may not."""

from __future__ import annotations

import keyword
import re
import sys
import unicodedata

from honewise.errors import UserError
from honewise.host import PluginHost

__all__ = ["domain_name", "reward_name"]

_DOMAIN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_REWARD = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 50


def domain_name(name: str, host: PluginHost) -> str:
    """``name``, where a domain, its distribution and its import package can be called after it.

    Raises ``UserError`` with the reason and, where there is one, a name that would do.
    """
    if "/" in name:
        raise UserError(f"{name!r}: a variant is registered by its domain's plugin, beside {name.split('/')[0]!r}")
    if name.lower().startswith("honewise"):
        rest = re.sub(r"^honewise[-_. ]*", "", name, flags=re.IGNORECASE)
        raise UserError(f"{name!r}: leave 'honewise' out, it is put in front of the package's name{_try(rest)}")
    _check(
        name,
        _DOMAIN,
        "a domain's name is lower-case letters and digits, in words joined by '-', and begins with a letter "
        "(it becomes the names of an entry point, a distribution and a package)",
        "-",
    )
    if (owner := next((record.owner for record in host.records.values() if record.name == name), None)) is not None:
        raise UserError(f"a domain {name!r} is installed already, by {owner}; choose another name")
    return name


def reward_name(name: str, *, alone: bool) -> str:
    """``name``, where a function and its file can be called so. ``alone``: the file will stand outside a package.

    Raises ``UserError`` with the reason and, where there is one, a name that would do.
    """
    _check(
        name,
        _REWARD,
        "a reward's name is lower-case letters, digits and '_', and begins with a letter "
        "(it becomes the name of a Python function)",
        "_",
    )
    if keyword.iskeyword(name) or name in keyword.softkwlist:
        raise UserError(f"{name!r} is a word of the Python language{_try(f'{name}_reward')}")
    if name.startswith("test_"):
        raise UserError(f"{name!r} would be taken for a test{_try(name.removeprefix('test_'))}")
    if alone and (name in sys.stdlib_module_names or name in ("honewise", "pytest", "conftest")):
        raise UserError(f"a file {name}.py would hide Python's own module {name!r}{_try(f'{name}_reward')}")
    return name


def _check(name: str, pattern: re.Pattern[str], rule: str, joint: str) -> None:
    if len(name) > _LONGEST:
        raise UserError(f"{name[:20]!r}... has {len(name)} characters; at most {_LONGEST} are allowed")
    if pattern.fullmatch(name):
        return
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"^[0-9]+", "", joint.join(re.findall(r"[a-z0-9]+", plain))).strip(joint)
    strange = sorted({character for character in name if not character.isascii()})
    what = f"{name!r} has {', '.join(map(repr, strange))}, which is not ASCII: " if strange else f"{name!r}: "
    raise UserError(f"{what}{rule}{_try(plain if pattern.fullmatch(plain) else '')}")


def _try(name: str) -> str:
    return f"; try {name!r}" if name else ""
