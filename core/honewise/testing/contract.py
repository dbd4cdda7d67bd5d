"""The contract check as assertions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from honewise import checks
from honewise.checks import Finding
from honewise.contracts import Domain, Judge, Reward, Task
from honewise.contracts import reward as as_reward
from honewise.host import PluginHost, get_host

__all__ = ["check_domain", "check_reward"]


def check_domain(
    domain: str | Domain,
    *,
    options: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
    host: PluginHost | None = None,
) -> list[Finding]:
    """Assert that a domain keeps every promise of the contract; the error explains each one broken, with its fix.

    Args:
        domain: an installed domain's name, or a ``Domain``.
        options: the domain's options, where it is given by name.
        tasks: in place of the domain's own samples.
        judge: rewards that need a judge run only where one is given: ``FakeJudge(otherwise=1.0)``.
        host: knows the plugins; None: those installed.

    Returns:
        All findings, for a look at what is exempt.
    """
    __tracebackhide__ = True
    host = host or get_host()
    if isinstance(domain, str):
        name, package, built = domain, host.package_of(domain), host.domain(domain, **(options or {}))
    else:
        name, package, built = "given", None, domain
    findings = checks.check_domain(
        built, name=name, package=package, options=options, tasks=tasks, judge=judge, host=host
    )
    return _assert(findings, f"domain {name}")


def check_reward(
    reward: Reward | Any,
    *,
    domain: str | Domain = "arithmetic",
    options: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] | None = None,
    judge: Judge | None = None,
    host: PluginHost | None = None,
) -> list[Finding]:
    """Assert what one reward promises, on the tasks of a domain it is meant for; a plain function will do.

    ``options`` are the domain's, where it is given by name. See ``check_domain`` for the rest.
    """
    __tracebackhide__ = True
    made = reward if isinstance(reward, Reward) else as_reward(reward)
    name, built = ("given", domain) if isinstance(domain, Domain) else (domain, _built(domain, options, host))
    return _assert(checks.check_reward(made, built, name=name, tasks=tasks, judge=judge), f"reward {made.name}")


def _built(name: str, options: Mapping[str, Any] | None, host: PluginHost | None) -> Domain:
    return (host or get_host()).domain(name, **(options or {}))


def _assert(findings: list[Finding], what: str) -> list[Finding]:
    __tracebackhide__ = True
    broken = [finding for finding in findings if not finding.ok]
    if broken:
        count = f"{len(broken)} of {len(findings)} checks"
        raise AssertionError(f"{what} breaks {count}:\n\n" + "\n\n".join(str(finding) for finding in broken))
    return findings
