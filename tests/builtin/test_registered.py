"""Core registers through the hooks, as anyone else does, under bare names and without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from honewise.builtin.estimators import ATTRIBUTES, DeferredEstimator
from honewise.errors import MissingExtra
from honewise.host import get_host

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from honewise.errors import MissingExtra
from honewise.host import get_host
host = get_host()
assert host.load("arithmetic").state == "loaded"
assert host.reward("length").name == "length"
estimator = host.estimator("dense-return")
assert estimator.name == "dense-return"
try:
    estimator.needs
except MissingExtra as error:
    print(error)
"""


def test_what_core_registers() -> None:
    host = get_host()
    record = host.load("arithmetic")
    assert (record.distribution, record.state, record.domains) == ("honewise", "loaded", ("arithmetic",))
    for name in ("length", "repetition", "script"):
        assert host.rewards.entry(name).owner == record.owner


def test_every_estimator_of_algorithms_is_registered() -> None:
    from honewise import algorithms

    for real in algorithms.ESTIMATORS:
        found = get_host().estimator(real.name)
        assert found.name == real.name
        assert (found.fn, found.needs, found.options) == (real.fn, real.needs, real.options)
    assert set(ATTRIBUTES) == {real.name for real in algorithms.ESTIMATORS}


def test_loading_the_toy_domain_imports_no_torch() -> None:
    code = (
        "import sys; from honewise.host import get_host; host = get_host(); host.domain('arithmetic');"
        "host.reward('length'); host.estimator('grpo'); print({'torch', 'trl', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "set()"), done.stderr


def test_without_torch_names_are_known_and_use_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install 'honewise[train]'" in done.stdout


def test_a_deferred_estimator_raises_where_torch_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("honewise.algorithms")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="estimator 'grpo' needs packages"):
        DeferredEstimator("grpo", "GRPO")(None)
