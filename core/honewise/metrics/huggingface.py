"""A metric of ours as one of the ``evaluate`` library's. The library is imported here only, and loads offline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from honewise.contracts import Metric, Scored
from honewise.errors import MissingExtra

__all__ = ["as_evaluate"]


def as_evaluate(metric: Metric, *, name: str | None = None) -> Any:
    """Wrap a metric as an ``evaluate.Metric``: ``as_evaluate(accuracy).compute(predictions=scored_rows)``.

    ``predictions`` (also of ``add`` and ``add_batch``) are ``Scored`` rows; there are no references, because each row
    holds its task. ``compute`` returns what the metric does. Rows stay in memory and in this process.

    Raises ``MissingExtra`` where ``evaluate`` is not installed.
    """
    try:
        import datasets
        import evaluate
    except ImportError:
        raise MissingExtra("wrapping a metric for the evaluate library", "honewise[train]") from None

    title = name or getattr(metric, "__name__", "metric")
    description = (metric.__doc__ or "").strip() or title

    # The library copies compute, add and add_batch without their keyword-only defaults, and adds to their docstrings.
    class Wrapped(evaluate.Metric):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(keep_in_memory=True)
            self._rows: list[Scored] = []

        def _info(self) -> Any:
            features = datasets.Features({"predictions": datasets.Value("string")})
            return evaluate.MetricInfo(description=description, citation="", features=features)

        def _compute(self, predictions: Sequence[Scored]) -> dict[str, float]:
            return dict(metric(predictions))

        def add(self, prediction: Scored | None = None, **_: Any) -> None:
            """Keep one scored row."""
            if prediction is not None:
                self._rows.append(prediction)

        def add_batch(self, predictions: Sequence[Scored] = (), **_: Any) -> None:
            """Keep scored rows."""
            self._rows.extend(predictions)

        def compute(self, predictions: Sequence[Scored] = (), **_: Any) -> dict[str, float]:
            """The metric over the rows kept and these; forgets them."""
            rows, self._rows = [*self._rows, *predictions], []
            return self._compute(rows)

    Wrapped.__name__ = Wrapped.__qualname__ = title
    return Wrapped()
