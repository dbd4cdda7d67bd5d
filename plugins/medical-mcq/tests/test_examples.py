"""The examples in docstrings hold, and recipes load."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["judging", "language", "locales", "metrics", "parse", "phrases", "reading.normal"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"honewise_medical_mcq.{name}"))
    assert results.attempted
    assert not results.failed
