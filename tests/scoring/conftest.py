"""The trial domain, installed as pip would leave it, so that worker processes find it too."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributions import install

from honewise import Rubric, Task
from honewise.host import PluginHost
from honewise.scoring import Scorer


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site")
    install(path, "honewise-trial", {"trial": "trial_domain"})
    return path


@pytest.fixture
def host(site: Path, monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    return PluginHost()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.touch()
    return path


@pytest.fixture
def task(log: Path) -> Task:
    return Task("t", {"word": "heap"}, {"log": str(log)})


@pytest.fixture
def scorer(host: PluginHost) -> Iterator[Callable[..., Scorer]]:
    """Make scorers of the trial domain by their weights; they are closed at the end."""
    made: list[Scorer] = []

    def make(terms: Any, **settings: Any) -> Scorer:
        rubric = terms if isinstance(terms, Rubric) else Rubric(terms)
        settings.setdefault("workers", 1)
        made.append(Scorer("trial", rubric=rubric, host=host, **settings))
        return made[-1]

    yield make
    for each in made:
        each.close()
