"""The audit of a domain's rewards: the contract check with everything it has, in a process that can be ended."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from honewise.contracts import Task
from honewise.errors import SandboxError, UnknownName, UserError
from honewise.host import PluginHost, get_host
from honewise.progress import Progress, Silent
from honewise.sandbox.gold import DIRECTORY
from honewise.sandbox.process import Message, WorkerDied, WorkerProcess, WorkerRaised, WorkerTimeout
from honewise.scoring.packing import pack_task

from .findings import REWARD_CHECKS, Finding
from .hostile import KINDS
from .watch import Watch

__all__ = ["RewardsAudited", "audit_rewards"]

_LOOK = 0.2
_MEMORY = 4 << 30
_REWARD = "reward "


@dataclass(frozen=True, slots=True)
class RewardsAudited:
    """What was tried on a domain's rewards, and what came of it."""

    domain: str
    preset: str | None
    findings: Sequence[Finding]
    rewards: Sequence[Mapping[str, Any]]
    """Numbers of each reward."""
    kinds: Sequence[str] = field(default=KINDS)
    """Of hostile and degenerate completions."""

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        return {
            "domain": self.domain,
            "preset": self.preset,
            "ok": self.ok,
            "kinds": list(self.kinds),
            "rewards": [dict(each) for each in self.rewards],
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(slots=True)
class _Ended:
    """Why the process is no more."""

    subject: str
    what: str
    how: str
    hung: bool
    blamed: bool
    """It ran what the model wrote just then."""


@dataclass(slots=True)
class _Found:
    findings: list[Finding] = field(default_factory=list)
    rewards: list[dict[str, Any]] = field(default_factory=list)


def audit_rewards(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    tasks: Sequence[Task] | None = None,
    host: PluginHost | None = None,
    progress: Progress | None = None,
) -> RewardsAudited:
    """Try everything the contract check knows, and longer texts than it does by itself, on the rewards of a domain.

    The domain is built in a process of its own. A reward that hangs there, or ends the process, is reported by name and
    left out of the rest, which is tried again without it.

    Args:
        name: of an installed domain.
        options: the domain's.
        preset: only this one, and its rewards.
        tasks: in place of the domain's own samples.
        host: that knows the domain in this process; None: that of this process.
        progress: told how far it is.

    Raises ``UserError`` where the domain cannot be built, or has no such preset.
    """
    host, told = host or get_host(), progress or Silent()
    domain = host.domain(name, **(options or {}))
    if preset is not None and preset not in domain.rubrics:
        raise UnknownName(f"preset of {name}", preset, domain.rubrics)
    folder = Path(tempfile.mkdtemp(prefix="honewise-audit-"))
    (folder / "gold").mkdir(mode=0o700)
    watch = Watch(str(folder / "watch"), create=True)
    arguments = {
        "domain": name,
        "options": dict(options or {}),
        "preset": preset,
        "tasks": None if tasks is None else [pack_task(task) for task in tasks],
        "watch": str(folder / "watch"),
    }
    ended: dict[str, Finding] = {}
    crashed: set[tuple[str, str]] = set()
    told.start(f"auditing the rewards of {name}")
    try:
        while True:
            found, why = _once({**arguments, "skip": list(ended)}, watch, folder, told)
            if why is None:
                return RewardsAudited(name, preset, [*ended.values(), *found.findings], found.rewards)
            if not why.hung and (why.subject, why.what) not in crashed:
                crashed.add((why.subject, why.what))  # it may have come from outside: once more
                continue
            finding = _finding(why)
            told.note(str(finding))
            reward = why.subject.removeprefix(_REWARD) if why.subject.startswith(_REWARD) else ""
            if not reward or reward in ended:
                return RewardsAudited(name, preset, [*ended.values(), *found.findings, finding], found.rewards)
            ended[reward] = finding
    finally:
        told.done()
        shutil.rmtree(folder, ignore_errors=True)


def _once(arguments: Mapping[str, Any], watch: Watch, folder: Path, progress: Progress) -> tuple[_Found, _Ended | None]:
    """One process from beginning to end, or to the end that was made of it."""
    watch.clear()
    found = _Found()
    environ = {DIRECTORY: str(folder / "gold"), "OMP_NUM_THREADS": "1"}
    with WorkerProcess(
        "honewise.checks.child:serve", arguments, memory_bytes=_MEMORY, environ=environ, name="audit"
    ) as worker:
        asked = False
        while True:
            try:
                message = worker.receive(_LOOK)
            except WorkerTimeout:
                if (late := _late(watch, worker)) is not None:
                    worker.kill()
                    return found, late
                continue
            except WorkerDied as died:
                return found, _Ended(*watch.told(), str(died), False, worker.blamed)
            except WorkerRaised as raised:
                if not asked:
                    raise UserError(
                        f"domain {arguments['domain']} cannot be built in another process: {raised}"
                    ) from raised
                raise SandboxError(f"the audit itself failed: {raised}\n{raised.traceback}") from raised
            if not asked:
                worker.send({})
                asked = True
            elif message.kind == "reply":
                return found, None
            else:
                _take(message, found, progress)


def _take(message: Message, found: _Found, progress: Progress) -> None:
    kind, value = message.value
    if kind == "finding":
        found.findings.append(Finding(**value))
        progress.advance()
    else:
        found.rewards.append(value)


def _late(watch: Watch, worker: WorkerProcess) -> _Ended | None:
    """What hangs, if something does: seen twice past the same deadline."""
    count, until, seconds = watch.read()
    nearest = min((each for each in (until, worker.model_deadline) if each), default=0.0)
    if not nearest or time.monotonic() <= nearest + _LOOK or watch.read()[0] != count:
        return None
    subject, what = watch.told()
    return _Ended(subject, what, f"did not come back within {seconds:g} s", True, worker.blamed)


def _finding(why: _Ended) -> Finding:
    subject = why.subject or "the audit"
    what = f"{why.how}: {why.what}" if why.what else why.how
    if why.blamed:
        return Finding("survives", True, subject, f"not tried further: what the model wrote had to be ended ({what})")
    return Finding("survives", False, subject, what, REWARD_CHECKS["survives"].fix)
