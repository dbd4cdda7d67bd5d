"""Core's advantage estimators by name, without torch until one of them is used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from typing import Any

from honewise.errors import MissingExtra

__all__ = ["ATTRIBUTES", "DeferredEstimator"]

ATTRIBUTES: Mapping[str, str] = {
    "grpo": "GRPO",
    "dr-grpo": "DR_GRPO",
    "rloo": "RLOO",
    "gdpo": "GDPO",
    "dense-return": "DENSE_RETURN",
    "grpo-process": "GRPO_PROCESS",
    "remax": "REMAX",
    "reinforce++": "REINFORCE_PP",
    "reinforce++-baseline": "REINFORCE_PP_BASELINE",
    "gae": "GAE",
    "rl-zvp": "RL_ZVP",
}
"""Core's estimators, and what each is called in ``honewise.algorithms``."""


class DeferredEstimator:
    """Stands for ``honewise.algorithms.<attribute>`` and behaves as it does from the first use on.

    So that a recipe can be checked, estimator and all, where torch is not installed. Raises ``MissingExtra`` on use
    there.
    """

    def __init__(self, name: str, attribute: str) -> None:
        self.name = name
        self._attribute = attribute

    @cached_property
    def _estimator(self) -> Any:
        try:
            algorithms = import_module("honewise.algorithms")
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise MissingExtra(f"estimator {self.name!r}", "honewise[train]") from error
        return getattr(algorithms, self._attribute)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # copying and pickling ask for these before there is anything to forward to
            raise AttributeError(attribute)
        return getattr(self._estimator, attribute)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._estimator(*args, **options)
