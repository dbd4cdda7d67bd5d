"""The contract check: what every domain promises, tried out. ``doctor`` and ``honewise.testing`` show its findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from honewise.contracts import Domain, Judge, Reward, Task
from honewise.host import PluginHost, get_host

from .bench import Bench, make_bench
from .findings import Finding
from .judges import judges
from .reading import reading
from .structure import structure
from .workers import workers
from .worth import metrics, presets, rewards

__all__ = ["check_domain", "check_reward", "checks_of"]


def check_domain(
    domain: Domain,
    *,
    name: str,
    package: str | None = None,
    options: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
    host: PluginHost | None = None,
) -> list[Finding]:
    """Try out everything a domain promises. Nothing the domain raises gets out; nothing protects from what hangs.

    Rewards run in this process; where the domain is that of an installed plugin, a worker process must agree.

    Args:
        domain: as its factory built it.
        name: for the findings.
        package: the import package with the judge templates; None: that of their parsers.
        options: those that ``domain`` was built with; worker processes build it again with them.
        tasks: in place of the domain's own samples, whose checks are then left out.
        judge: rewards that need one run only where it is given; a ``FakeJudge`` will do.
        host: where plugins are registered; None: that of this process.

    Returns:
        One finding for each check of each subject, holding or not.
    """
    bench = make_bench(
        domain, name, package=package, host=host or get_host(), judge=judge, options=options or {}, tasks=tasks
    )
    return list(checks_of(bench))


def checks_of(bench: Bench) -> Iterator[Finding]:
    """Everything that can be tried on what stands on the bench, one finding after another."""
    yield from structure(bench)
    yield from reading(bench)
    yield from rewards(bench, bench.domain.rewards)
    yield from presets(bench)
    yield from metrics(bench)
    yield from judges(bench)
    yield from workers(bench)


def check_reward(
    reward: Reward,
    domain: Domain,
    *,
    name: str,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
) -> list[Finding]:
    """Try out what one reward promises on the tasks of a domain it was not necessarily made for."""
    bench = make_bench(domain, name, package=None, host=get_host(), judge=judge, options={}, tasks=tasks)
    return list(rewards(bench, [reward], own=False))
