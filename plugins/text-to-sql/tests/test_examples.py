"""The examples in docstrings hold."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["cells", "judging", "readers.defog", "readers.wikisql", "schema", "serialise", "sqltext"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"honewise_text_to_sql.{name}"))
    assert results.attempted
    assert not results.failed
