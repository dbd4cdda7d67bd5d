"""The contract check: what every domain promises, tried out. ``doctor`` and ``honewise.testing`` show its findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from honewise.contracts import Domain, Judge, Reward, Task
from honewise.host import get_host

from .bench import make_bench
from .findings import Finding
from .judges import judges
from .reading import reading
from .structure import structure
from .worth import metrics, presets, rewards

__all__ = ["check_domain", "check_reward"]


def check_domain(
    domain: Domain,
    *,
    name: str,
    package: str | None = None,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
    lookup: Callable[[str], Reward] | None = None,
) -> list[Finding]:
    """Try out everything a domain promises, in this process. Nothing the domain raises gets out.

    Args:
        domain: as its factory built it.
        name: for the findings.
        package: the import package with the judge templates; None: that of their parsers.
        tasks: in place of the domain's own samples, whose checks are then left out.
        judge: rewards that need one run only where it is given; a ``FakeJudge`` will do.
        lookup: finds rewards that presets name and the domain does not have; None: the host of this process.

    Returns:
        One finding for each check of each subject, holding or not.
    """
    bench = make_bench(domain, name, package=package, lookup=lookup or get_host().reward, judge=judge, tasks=tasks)
    return [
        *structure(bench),
        *reading(bench),
        *rewards(bench, domain.rewards),
        *presets(bench),
        *metrics(bench),
        *judges(bench),
    ]


def check_reward(
    reward: Reward,
    domain: Domain,
    *,
    name: str,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
) -> list[Finding]:
    """Try out what one reward promises on the tasks of a domain it was not necessarily made for."""
    bench = make_bench(domain, name, package=None, lookup=lambda _: reward, judge=judge, tasks=tasks)
    return list(rewards(bench, [reward], own=False))
