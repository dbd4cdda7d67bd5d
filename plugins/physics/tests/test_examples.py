"""The examples in docstrings hold."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["answers", "judging", "lexer", "official", "prompts", "samples.problems", "symbolic", "units", "wording"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"honewise_physics.{name}"))
    assert results.attempted
    assert not results.failed
