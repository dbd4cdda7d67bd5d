"""Where tests find slices of published data sets, which are never part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["data_slice"]

_VARIABLE = "HONEWISE_TEST_DATA"


def data_slice(name: str) -> Path:
    """The folder (or file) ``name``, such as ``"text_to_sql/spider"``, under the test data; skips where it is absent.

    The test data stand in the folder that ``HONEWISE_TEST_DATA`` names, else in ``../shared/data`` beside a
    checkout of honewise. A set variable that names no folder fails the test: somebody meant these data to be read.
    """
    given = os.environ.get(_VARIABLE)
    root = Path(given) if given else Path(__file__).resolve().parents[3].parent / "shared" / "data"
    if not root.is_dir():
        if given:
            pytest.fail(f"{_VARIABLE} is {given!r}, which is no folder", pytrace=False)
        pytest.skip(f"public test data are absent: set {_VARIABLE} to the folder that holds {name}")
    path = root / name
    if not path.exists():
        pytest.skip(f"{name} is not among the public test data in {root}")
    return path
