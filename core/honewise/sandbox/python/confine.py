"""What the child for one program does to itself, for good, before it reads the program."""

from __future__ import annotations

import contextlib
import os
import resource
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from . import filters, kernel
from .tree import readable
from .world import OWN_PIDS, OWN_ROOT, OWN_USER, OWN_USERS, World

__all__ = ["LANDLOCK", "LIMITS_BYTES", "PRIVILEGES", "SECCOMP", "Fence", "Limits", "confine", "steps"]

LANDLOCK, SECCOMP, PRIVILEGES = "landlock", "seccomp", "no privileges"
_LAYOUT = struct.Struct("=dQQQIIII")


class Limits(NamedTuple):
    """What one program may use, as it travels to the server."""

    seconds: float
    memory_bytes: int
    file_bytes: int
    folder_bytes: int
    folder_files: int
    open_files: int
    threads: int
    processes: int

    def pack(self) -> bytes:
        return _LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, packed: bytes) -> Limits:
        return cls(*_LAYOUT.unpack(packed))


LIMITS_BYTES = _LAYOUT.size


@dataclass
class Fence:
    """What the children of one server need to know to confine themselves; the same for all of them."""

    world: World
    without: Collection[str]
    mapped: int
    """Bytes of address space that the server has mapped, on top of which a program may use its memory."""
    has: set[str] = field(default_factory=set)
    why: dict[str, str] = field(default_factory=dict)
    _readable: list[str] = field(default_factory=list)
    _rules: dict[tuple[str, bool], int] = field(default_factory=dict)
    _filters: dict[bool, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        possible = {
            LANDLOCK: (kernel.LINUX and kernel.landlock_abi() > 0, "this kernel has none"),
            SECCOMP: (kernel.MACHINE in filters.SUPPORTED, "only on Linux on x86_64 and aarch64"),
            PRIVILEGES: (kernel.LINUX, "there is no such switch on this system"),
        }
        for name, (there, reason) in possible.items():
            if there and name not in self.without:
                self.has.add(name)
            else:
                self.why[name] = reason if not there else "switched off"
        if LANDLOCK in self.has:
            self._readable = ["/"] if OWN_ROOT in self.world.has else readable(self.world.packages)

    @property
    def bounded(self) -> bool:
        """Whether anything keeps a program from starting processes without end."""
        return bool({SECCOMP, OWN_USERS} & (self.has | self.world.has)) or self.world.user != 0

    def may_fork(self, limits: Limits) -> bool:
        """Only where the kernel counts the processes of one program apart from all others of its user."""
        return limits.processes > 0 and OWN_USERS in self.world.has

    def rules(self, box: str, limits: Limits) -> int | None:
        """Landlock's rules, made once for a box."""
        if LANDLOCK not in self.has:
            return None
        key = box, self.may_fork(limits)
        if key not in self._rules:
            self._rules[key] = kernel.landlock_ruleset(self._readable, box, execute=key[1])
        return self._rules[key]

    def forget(self, box: str) -> None:
        """The box is another folder from now on."""
        for execute in (False, True):
            rules = self._rules.pop((box, execute), None)
            if rules is not None:
                os.close(rules)

    def filter(self, limits: Limits) -> bytes | None:
        """The filter of system calls; made once, but where it names the process it is for."""
        if SECCOMP not in self.has:
            return None
        forks, own_pids = self.may_fork(limits), OWN_PIDS in self.world.has
        own_files = OWN_ROOT in self.world.has
        if not own_pids:
            return filters.program(
                kernel.MACHINE, processes=forks, own_pids=False, own_files=own_files, pid=os.getpid()
            )
        if forks not in self._filters:
            self._filters[forks] = filters.program(
                kernel.MACHINE, processes=forks, own_pids=True, own_files=own_files, pid=0
            )
        return self._filters[forks]


def confine(fence: Fence, limits: Limits, box: str, rules: int | None, server: int) -> None:
    """Raises ``OSError`` where anything that is in force for this server cannot be had; nothing may run then."""
    for _, step in steps(fence, limits, box, rules, server):
        step()


def steps(
    fence: Fence, limits: Limits, box: str, rules: int | None, server: int
) -> Iterator[tuple[str, Callable[[], None]]]:
    """What is to be done, in order, each with the protection that it is part of."""
    yield "", lambda: os.chdir(box)
    yield "", lambda: _limit(fence, limits)
    if fence.world.user != os.geteuid():
        yield OWN_USER, lambda: _become(fence.world.user)
    if kernel.LINUX:
        yield "", lambda: _tie_to(server, sees_it=OWN_PIDS not in fence.world.has)
        yield PRIVILEGES, kernel.no_new_privileges
    if PRIVILEGES in fence.has:
        yield PRIVILEGES, kernel.drop_capabilities
    if rules is not None:
        yield LANDLOCK, lambda: kernel.landlock_restrict(rules)
    allowed = fence.filter(limits)
    if allowed is not None:
        yield SECCOMP, lambda: kernel.attach_filter(allowed)


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _tie_to(server: int, *, sees_it: bool) -> None:
    kernel.die_with_parent()
    if sees_it and os.getppid() != server:
        raise OSError("the server is gone")


def _limit(fence: Fence, limits: Limits) -> None:
    seconds = int(limits.seconds) + 1
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (seconds, seconds + 1),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
    }
    if kernel.LINUX:  # elsewhere it has no effect
        most = fence.mapped + limits.memory_bytes
        wanted |= {resource.RLIMIT_AS: (most, most), resource.RLIMIT_MSGQUEUE: (0, 0)}
    if OWN_USERS in fence.world.has:
        tasks = limits.threads + (limits.processes if fence.may_fork(limits) else 0) + _OTHERS
        wanted[resource.RLIMIT_NPROC] = (tasks, tasks)
    elif SECCOMP not in fence.has:
        wanted[resource.RLIMIT_NPROC] = (1, 1)  # less than the user has: nothing can be started
    for kind, (soft, hard) in wanted.items():
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(kind, (soft, hard))
    with contextlib.suppress(OSError):
        os.nice(5)  # the server and the parent keep the deadline


_OTHERS = 4
"""Tasks of the same user in the same namespace: the program itself, the one in the other box, and the servers."""
