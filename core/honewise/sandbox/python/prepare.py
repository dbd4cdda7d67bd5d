"""The interpreter of the fork server, as every program finds it: usual modules loaded, nothing of ours in sight."""

from __future__ import annotations

import builtins
import contextlib
import importlib
import os
import resource
import sys
from collections.abc import Sequence

from .tree import python_folders

__all__ = ["PREIMPORTED", "clean_interpreter", "mapped_bytes", "preimport"]

PREIMPORTED = (
    "_sitebuiltins abc array ast atexit base64 bisect calendar cmath collections collections.abc contextlib copy ctypes "
    "dataclasses datetime decimal enum fractions functools hashlib heapq inspect io itertools json linecache math "
    "numbers operator os queue random re statistics string struct sys textwrap threading time traceback types typing "
    "unicodedata"
).split()
"""Loaded before the first program, so that no program pays for them. Any other module of the standard library can be
imported too, at its own cost."""


def preimport(modules: Sequence[str]) -> None:
    for name in PREIMPORTED:
        importlib.import_module(name)
    for name in modules:
        with contextlib.suppress(ImportError):  # the program that wants it will say so
            importlib.import_module(name)


def mapped_bytes(proc: int) -> int:
    """Address space in use, by the open folder ``/proc``; 0 where there is none."""
    if proc < 0:
        return 0
    descriptor = os.open("self/statm", os.O_RDONLY, dir_fd=proc)
    with os.fdopen(descriptor, "rb") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def clean_interpreter(packages: Sequence[str]) -> None:
    """Leave a search path of Python and ``packages``, and no trace of where and how the server was started."""
    folders = [*python_folders(), *(f"{folder}/lib-dynload" for folder in python_folders())]
    sys.path[:] = list(dict.fromkeys([*folders, *map(os.path.dirname, packages)]))
    for name in [name for name in sys.modules if name.partition(".")[0] == "honewise"]:
        del sys.modules[name]
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]
    sys.orig_argv[:] = [sys.executable]
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    site = sys.modules["_sitebuiltins"]
    for name in ("exit", "quit"):  # what the module site gives to scripts, which does not run here
        setattr(builtins, name, site.Quitter(name, "Ctrl-D"))
