"""Fixtures for the tests of plugin authors. Loaded by pytest in every run, so it imports nothing until a test asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from honewise.host import PluginHost

    from .fakes import FakeJudge


@pytest.fixture
def honewise_host() -> PluginHost:
    """A plugin host of its own, blind to the environment switches: what a test registers there stays there."""
    from honewise.host import PluginHost

    return PluginHost(environ={})


@pytest.fixture
def honewise_judge() -> FakeJudge:
    """An empty ``FakeJudge``: ``enqueue`` the replies, read ``calls``."""
    from .fakes import FakeJudge

    return FakeJudge()
