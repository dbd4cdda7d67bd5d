"""The wrapper around the evaluate library: loads offline, and only when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from honewise import Completion, Scored, Task
from honewise.errors import MissingExtra
from honewise.metrics import accuracy, as_evaluate, pass_at_ks

ROWS = [Scored(Task("t", {}), Completion("x"), {}, 1.0, correct) for correct in (True, False, None)]


def test_it_computes_what_the_metric_does() -> None:
    evaluate = pytest.importorskip("evaluate")
    metric = as_evaluate(accuracy)
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == "accuracy"
    assert metric.description.startswith("``accuracy``: the share")
    assert metric.compute(predictions=ROWS) == dict(accuracy(ROWS))
    metric.add(prediction=ROWS[0])
    metric.add_batch(predictions=ROWS[1:])
    assert metric.compute() == dict(accuracy(ROWS))
    assert metric.compute() == dict(accuracy([])), "what was computed is forgotten"
    assert as_evaluate(pass_at_ks(1), name="pass").compute(predictions=ROWS)["pass@1"] == 0.5


def test_metrics_import_neither_evaluate_nor_torch() -> None:
    code = "import sys, honewise.metrics; assert not {'evaluate', 'torch', 'datasets', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "evaluate", None)
    with pytest.raises(MissingExtra, match=r"pip install 'honewise\[train\]'"):
        as_evaluate(accuracy)
