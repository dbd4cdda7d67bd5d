"""Calls to the Linux kernel that Python has no function for. Importable everywhere; only for Linux to call.

Each raises ``OSError`` where the kernel refuses. Pointers travel as addresses, numbers as C longs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping

__all__ = [
    "LINUX",
    "MACHINE",
    "attach_filter",
    "bind",
    "die_with_parent",
    "drop_capabilities",
    "landlock_abi",
    "landlock_restrict",
    "landlock_ruleset",
    "mount_tmpfs",
    "new_namespaces",
    "no_new_privileges",
    "unmount",
]

LINUX = sys.platform.startswith("linux")
MACHINE = platform.machine() if LINUX else ""

_NEW_MOUNT, _NEW_IPC, _NEW_USER, _NEW_NET = 0x00020000, 0x08000000, 0x10000000, 0x40000000

# Numbers of system calls: the newer ones are the same on all machines.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_CAPSET = {"x86_64": 126, "aarch64": 91}

_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
_DETACH = 2
_SET_DEATH_SIGNAL, _SET_SECCOMP, _SET_NO_NEW_PRIVS = 1, 22, 38
_FILTER_MODE = 2


class _Library:
    """The C library, opened at the first call."""

    def __init__(self) -> None:
        self._opened: ctypes.CDLL | None = None

    def call(self, name: str, *arguments: int | bytes | None) -> int:
        if self._opened is None:
            self._opened = ctypes.CDLL(None, use_errno=True)
        function = self._opened[name]
        function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
        given = [ctypes.c_long(a) if isinstance(a, int) else ctypes.c_char_p(a) for a in arguments]
        result: int = function(*given)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result


_call = _Library().call


def new_namespaces(*, user: bool) -> None:
    """Leave the network and the mounts of this machine, for good.

    With ``user``, who need not be root does it as root of a user namespace, in which the user keeps the number it has.
    """
    mine, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW_NET | _NEW_MOUNT | _NEW_IPC | (_NEW_USER if user else 0))
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{mine} {mine} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _call("mount", b"none", b"/", None, _REC | _PRIVATE, None)


def mount_tmpfs(target: str, options: str) -> None:
    _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", _NOSUID | _NODEV | _NOEXEC, options.encode())


def bind(source: int, target: str) -> None:
    """Show the folder behind an open descriptor at ``target`` too."""
    _call("mount", f"/proc/self/fd/{source}".encode(), os.fsencode(target), None, _BIND, None)


def unmount(target: str) -> None:
    _call("umount2", os.fsencode(target), _DETACH)


def die_with_parent() -> None:
    """SIGKILL for this process when its parent ends. Lost when its user changes."""
    _call("prctl", _SET_DEATH_SIGNAL, 9, 0, 0, 0)


def no_new_privileges() -> None:
    _call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def drop_capabilities() -> None:
    if MACHINE not in _CAPSET:
        raise OSError(f"no system call numbers are known for {MACHINE}")
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    nothing = ctypes.create_string_buffer(24)
    _call("syscall", _CAPSET[MACHINE], ctypes.addressof(header), ctypes.addressof(nothing))


def attach_filter(program: bytes) -> None:
    """Irrevocably judge every system call of this process by a BPF program (see ``filters``)."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    _call("prctl", _SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header), 0, 0)


# Landlock: https://docs.kernel.org/userspace-api/landlock.html
_WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_READ = _READ_FILE | _READ_FOLDER
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_NEWEST_RIGHTS = (1 << 16) - 1
_NETWORK, _SCOPES = 1 << 0 | 1 << 1, 1 << 0 | 1 << 1
_OWN_FOLDER = ((1 << 15) - 1) & ~(1 << 0 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11)
"""All but running files and making devices, sockets and pipes."""


def landlock_abi() -> int:
    """0 where the kernel has no Landlock."""
    try:
        return _call("syscall", _LANDLOCK_CREATE, 0, 0, 1)
    except OSError:
        return 0


def landlock_ruleset(readable: Mapping[str, bool], writable: str) -> int:
    """A descriptor of the rules: what may be read (False: a folder whose names may), the one folder that may be
    written, and nothing else."""
    abi = landlock_abi()
    handled = _RIGHTS_BY_ABI.get(abi, _NEWEST_RIGHTS)
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", _NETWORK)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    rules = _call("syscall", _LANDLOCK_CREATE, ctypes.addressof(buffer), len(attributes), 0)
    known = {path: _READ if whole else _READ_FOLDER for path, whole in readable.items()}
    rights = {**known, writable: _OWN_FOLDER, os.devnull: _READ_FILE | _WRITE_FILE}
    for path, right in rights.items():
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            kind = -1 if os.path.isdir(path) else _OF_FILES
            rule = struct.pack("=Qi", right & handled & kind, descriptor)
            buffer = ctypes.create_string_buffer(rule, len(rule))
            _call("syscall", _LANDLOCK_ADD, rules, 1, ctypes.addressof(buffer), 0)
        finally:
            os.close(descriptor)
    return rules


def landlock_restrict(ruleset: int) -> None:
    _call("syscall", _LANDLOCK_RESTRICT, ruleset, 0)
