"""Hone a language model, domain by domain: reinforcement learning from dense rewards and AI feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .contracts import (
    Cell,
    Completion,
    Domain,
    Generation,
    Generator,
    Judge,
    JudgeTemplate,
    Message,
    Metric,
    Piece,
    Reader,
    Reward,
    Rubric,
    Score,
    Scored,
    Span,
    Task,
    Term,
    TokenChoice,
    Unscored,
    Verdict,
    reward,
)
from .errors import HonewiseError, JudgeError, SandboxError, UserError
from .hookspecs import hookimpl

if TYPE_CHECKING:
    from .api import LoadedDomain, load_domain, load_judge, run

__version__ = "0.1.0"

__all__ = [
    "Cell",
    "Completion",
    "Domain",
    "Generation",
    "Generator",
    "HonewiseError",
    "Judge",
    "JudgeError",
    "JudgeTemplate",
    "LoadedDomain",
    "Message",
    "Metric",
    "Piece",
    "Reader",
    "Reward",
    "Rubric",
    "SandboxError",
    "Score",
    "Scored",
    "Span",
    "Task",
    "Term",
    "TokenChoice",
    "Unscored",
    "UserError",
    "Verdict",
    "hookimpl",
    "load_domain",
    "load_judge",
    "reward",
    "run",
]

_LAZY = {"LoadedDomain", "load_domain", "load_judge", "run"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module 'honewise' has no attribute {name!r}")
