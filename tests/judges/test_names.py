"""The names of the package."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import honewise.judges
from honewise.judges import __all__ as names


def test_no_name_is_hidden_by_a_module_of_the_same_name() -> None:
    """A module, once imported, takes the place of what is loaded on first use."""
    modules = [found.name for found in pkgutil.iter_modules(honewise.judges.__path__)]
    for module in modules:
        import_module(f"honewise.judges.{module}")
    assert not {*names} & {*modules}
    assert all(not isinstance(getattr(honewise.judges, name), type(pkgutil)) for name in names)
