"""A domain must score in a worker process as it does here."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import pytest
from distributions import GOOD, entry_points_on, install

from honewise.checks import Finding, check_domain
from honewise.host import PluginHost

MOODY = GOOD.replace("NAME", "moody").replace(
    'return completion.text == task.reference["word"]',
    f'return completion.text == task.reference["word"] and __import__("os").getpid() == {os.getpid()}',
)


def findings(path: Path, name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Finding]:
    install(path, f"honewise-{name}", {name: f"honewise_{name}"}, modules={f"honewise_{name}": source})
    monkeypatch.syspath_prepend(str(path))
    monkeypatch.delitem(sys.modules, f"honewise_{name}", raising=False)
    host = PluginHost(environ={}, entry_points=entry_points_on(path))
    found = check_domain(host.domain(name), name=name, package=host.package_of(name), host=host)
    return {finding.check: finding for finding in found}


def test_a_domain_that_scores_alike_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(tmp_path, "steady", GOOD.replace("NAME", "steady"), monkeypatch)
    assert found["workers"].ok, found["workers"]


def test_a_domain_that_scores_otherwise_in_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(tmp_path, "moody", MOODY, monkeypatch)
    assert found["workers"].explanation.startswith("said scores 'heap' 1.0 here, in a worker 0")


def test_a_domain_of_this_process_alone_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = PluginHost(environ={}, entry_points=[])
    (tmp_path / "here.py").write_text(GOOD.replace("NAME", "here"))
    monkeypatch.syspath_prepend(str(tmp_path))
    host.register(importlib.import_module("here"), "here")
    found = check_domain(host.domain("here"), name="here", host=host)
    assert "workers" not in {finding.check for finding in found}
