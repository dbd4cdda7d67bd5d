"""What the server does to itself once, and each child to itself before it reads its program. For good, both.

Three things keep a program in: Landlock (no file but its own folder and Python's), seccomp (no socket, no process, no
signal, see ``filters``), and, where the kernel allows them, namespaces without a network and a user of its own.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import struct
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from honewise.errors import SandboxError

from . import filters, kernel
from .boxes import Boxes, python_folders, readable

__all__ = ["LANDLOCK", "LIMITS_BYTES", "SECCOMP", "Fence", "Limits"]

LANDLOCK, SECCOMP, NAMESPACES, USER, PRIVILEGES = "landlock", "seccomp", "namespaces", "user", "privileges"
_ALL = (LANDLOCK, SECCOMP, NAMESPACES, USER, PRIVILEGES)
_LAYOUT = struct.Struct("=dQQQIII")
_OWN_USERS = 1_000_000_000
_OTHERS = 4
"""Tasks of the same user: the program itself, the one in the other box, and the server's."""


class Limits(NamedTuple):
    """What one program may use, as it travels to the server."""

    seconds: float
    memory_bytes: int
    file_bytes: int
    folder_bytes: int
    folder_files: int
    open_files: int
    threads: int

    def pack(self) -> bytes:
        return _LAYOUT.pack(*self)

    @classmethod
    def unpack(cls, packed: bytes) -> Limits:
        return cls(*_LAYOUT.unpack(packed))


LIMITS_BYTES = _LAYOUT.size
_TRIAL = Limits(5.0, 256 << 20, 1 << 20, 1 << 20, 64, 64, 8)


class Fence:
    """What is in force for the children of this server (``why`` holds a reason for what is not), and how to get in.

    Made while the process has one thread, below the folder ``base``. ``without`` names what to leave out.
    """

    def __init__(self, base: str, without: Collection[str]) -> None:
        self.why = {name: "switched off" for name in _ALL if name in without}
        if not kernel.LINUX:
            self.why = dict.fromkeys(_ALL, "there is none on this system")
        self._enter_namespaces(base)
        self.user = self._choose_user()
        self._filter, self._readable = b"", dict[str, bool]()
        self._rules: dict[str, int] = {}
        if SECCOMP not in self.why and kernel.MACHINE not in filters.SUPPORTED:
            self.why[SECCOMP] = f"no system call numbers are known for {kernel.MACHINE}"
        if SECCOMP not in self.why:
            self._filter = filters.program(kernel.MACHINE)
        if LANDLOCK not in self.why and not kernel.landlock_abi():
            self.why[LANDLOCK] = "this kernel has none: it came with Linux 5.13, and must be on"
        if LANDLOCK not in self.why:
            self._readable = readable()
        self.boxes = Boxes(base, mounted=self.has(NAMESPACES), owner=self.user, changed=self._forget)
        self.mapped = _mapped_bytes()
        """Bytes of address space that an idle child has, on top of which a program may use its memory."""

    def has(self, name: str) -> bool:
        return name not in self.why

    def _enter_namespaces(self, base: str) -> None:
        if not self.has(NAMESPACES):
            return

        def way() -> None:
            kernel.new_namespaces(user=os.geteuid() != 0)
            if os.geteuid() == 0 and self.has(USER):
                _open_to_others(python_folders())
            os.makedirs(base, exist_ok=True)
            kernel.mount_tmpfs(base, "size=64k,mode=711")

        refused = _in_child(lambda: _refusal(way))  # a refusal half way must leave no trace here
        if refused:
            self.why[NAMESPACES] = refused
        else:
            way()

    def _choose_user(self) -> int:
        """Root runs programs as a user whom nobody else is: the kernel counts their threads apart from all others."""
        if not self.has(USER):
            return os.geteuid()
        if os.geteuid() != 0:
            if not self.has(NAMESPACES):
                self.why[USER] = "only root can have programs run as somebody else"
            return os.geteuid()
        for user in (_OWN_USERS + os.getpid(), 65534):
            refused = _in_child(lambda user=user: _refusal(lambda: _try_user(user)))  # type: ignore[misc]
            if not refused:
                return user
        self.why[USER] = refused
        return 0

    def rules(self, box: str) -> int | None:
        """Landlock's rules, made once for a box."""
        if not self.has(LANDLOCK):
            return None
        if box not in self._rules:
            self._rules[box] = kernel.landlock_ruleset(self._readable, box)
        return self._rules[box]

    def _forget(self, box: str) -> None:
        if box in self._rules:
            os.close(self._rules.pop(box))

    def enter(self, box: str, rules: int | None, server: int) -> None:
        """In the child. Raises ``OSError`` where anything that is in force cannot be had; nothing may run then."""
        for _, step in self._steps(box, rules, server):
            step()

    def _steps(self, box: str, rules: int | None, server: int) -> Iterator[tuple[str, Callable[[], None]]]:
        """What is to be done, in order, each with the protection that it is part of."""
        yield "", lambda: os.chdir(box)
        if self.user != os.geteuid():
            yield USER, lambda: _become(self.user)
        if kernel.LINUX:
            yield "", lambda: _tie_to(server)
        if self.has(PRIVILEGES):
            yield PRIVILEGES, kernel.no_new_privileges
            yield PRIVILEGES, kernel.drop_capabilities
        if rules is not None:
            yield LANDLOCK, lambda: kernel.landlock_restrict(rules)
        if self._filter:
            yield SECCOMP, lambda: kernel.attach_filter(self._filter)

    def limit(self, limits: Limits) -> None:
        """In the child, once it is known what it is for."""
        seconds = int(limits.seconds) + 1
        wanted = {
            resource.RLIMIT_CORE: 0,
            resource.RLIMIT_CPU: seconds,
            resource.RLIMIT_FSIZE: limits.file_bytes,
            resource.RLIMIT_NOFILE: limits.open_files,
        }
        if kernel.LINUX:  # elsewhere it has no effect
            wanted |= {resource.RLIMIT_AS: self.mapped + limits.memory_bytes, resource.RLIMIT_MSGQUEUE: 0}
        if self.has(USER):
            wanted[resource.RLIMIT_NPROC] = 2 * limits.threads + _OTHERS
        elif not self.has(SECCOMP):
            wanted[resource.RLIMIT_NPROC] = 1  # less than the user has: nothing can be started
        for kind, most in wanted.items():
            ceiling = resource.getrlimit(kind)[1]
            most = most if ceiling == resource.RLIM_INFINITY else min(most, ceiling)
            resource.setrlimit(kind, (most, most))

    def check(self) -> list[tuple[str, bool, str]]:
        """Try in a child whether what should be in force holds; name, whether it does, and else why not.

        Raises ``SandboxError`` where a child cannot be made at all.
        """
        folder = self.boxes.prepare(0, _TRIAL.folder_bytes, _TRIAL.folder_files)
        rules, server = self.rules(folder), os.getpid()
        said = _in_child(lambda: "\n".join(f"{name}\t{why}" for name, why in self._trial(folder, rules, server)))
        if said == _DIED:
            raise SandboxError("a child that confines itself died")
        self.boxes.clean(0)
        self.why |= dict(line.split("\t", 1) for line in said.splitlines())
        if not self.has(LANDLOCK):
            self._readable = {}
        if not self.has(SECCOMP):
            self._filter = b""
        return [(name, self.has(name), self.why.get(name, "")) for name in _ALL]

    def _trial(self, folder: str, rules: int | None, server: int) -> Iterator[tuple[str, str]]:
        failed = set[str]()
        self.limit(_TRIAL)
        for name, step in self._steps(folder, rules, server):
            try:
                step()
            except OSError as error:
                if not name:
                    raise
                failed.add(name)
                yield name, f"the kernel refuses: {error}"
        if rules is not None and LANDLOCK not in failed and _works(lambda: open(__file__, "rb")):  # noqa: SIM115
            yield LANDLOCK, "it was tried, and a file outside could be read"
        if self._filter and SECCOMP not in failed and _works(lambda: socket.socket(socket.AF_INET)):
            yield SECCOMP, "it was tried, and a socket could be opened"


def _become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def _try_user(user: int) -> None:
    _become(user)
    for folder in python_folders():
        os.stat(os.path.join(folder, "os.py"))


def _open_to_others(folders: Sequence[str]) -> None:
    """Where a folder stands below one that is closed to other users, have it stand alone there, in this namespace."""
    opened = {folder: os.open(folder, os.O_RDONLY | os.O_DIRECTORY) for folder in folders}
    for path in sorted({closed for folder in folders if (closed := _closed(folder))}):
        kernel.mount_tmpfs(path, "size=1m,mode=755")
    for folder, descriptor in opened.items():
        if not os.path.isdir(folder):
            os.makedirs(folder)
            kernel.bind(descriptor, folder)
        os.close(descriptor)


def _closed(path: str) -> str:
    """The topmost folder on the way to ``path`` that other users may not pass; empty where there is none."""
    found = ""
    while path != os.path.dirname(path):
        if not os.stat(path).st_mode & stat.S_IXOTH:
            found = path
        path = os.path.dirname(path)
    return found


def _tie_to(server: int) -> None:
    kernel.die_with_parent()
    if os.getppid() != server:
        raise OSError("the server is gone")


def _works(what: Callable[[], object]) -> bool:
    try:
        what()
    except OSError:
        return False
    return True


def _refusal(way: Callable[[], None]) -> str:
    try:
        way()
    except OSError as error:
        return f"the kernel refuses: {error}"
    return ""


_DIED = "it died"


def _in_child(work: Callable[[], str]) -> str:
    said, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            os.write(says, b"." + work().encode()[:4000])
        finally:
            os._exit(0)
    os.close(says)
    with os.fdopen(said, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer[1:].decode() if answer else _DIED


def _mapped_bytes() -> int:
    """Address space in use; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 0
