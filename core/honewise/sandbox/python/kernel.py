"""Calls to the Linux kernel that Python has no function for. Importable everywhere; only for Linux to call.

Each raises ``OSError`` where the kernel refuses. Pointers travel as addresses, numbers as C longs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence

__all__ = [
    "LINUX",
    "MACHINE",
    "NEW_CGROUP",
    "NEW_IPC",
    "NEW_MOUNT",
    "NEW_NET",
    "NEW_PID",
    "NEW_USER",
    "NEW_UTS",
    "attach_filter",
    "become_reaper",
    "bind",
    "die_with_parent",
    "drop_capabilities",
    "enter_root",
    "join",
    "landlock_abi",
    "landlock_restrict",
    "landlock_ruleset",
    "make_private",
    "mount_tmpfs",
    "no_new_privileges",
    "unmount",
    "unshare",
]

LINUX = sys.platform.startswith("linux")
MACHINE = platform.machine() if LINUX else ""

NEW_MOUNT, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000

# Numbers of system calls: the newer ones are the same on all machines.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}

_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
_DETACH = 2
_SET_DEATH_SIGNAL, _SET_SECCOMP, _SET_REAPER, _SET_NO_NEW_PRIVS = 1, 22, 36, 38
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


def _numbered(number: int | None, *arguments: int | bytes | None) -> int:
    if number is None:
        raise OSError(f"no system call numbers are known for {MACHINE}")
    return _call("syscall", number, *arguments)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def join(descriptor: int, kind: int) -> None:
    """Enter the namespace behind an open ``/proc/.../ns/...``."""
    _call("setns", descriptor, kind)


def make_private() -> None:
    """What is mounted from here on is seen in this mount namespace alone."""
    _call("mount", b"none", b"/", None, _REC | _PRIVATE, None)


def mount_tmpfs(target: str, options: str) -> None:
    flags = _NOSUID | _NODEV | _NOEXEC
    _call("mount", b"tmpfs", os.fsencode(target), b"tmpfs", flags, options.encode())


def bind(source: str, target: str, *, readonly: bool = True) -> None:
    """Mount ``source`` at ``target`` as well, with all that is mounted below it."""
    _call("mount", os.fsencode(source), os.fsencode(target), None, _BIND | _REC, None)
    if readonly:
        _set_readonly(target)


def _set_readonly(target: str) -> None:
    recursive, current_folder = 0x8000, -100
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", 1 | 2 | 4, 0, 0, 0), 32)
    address = ctypes.addressof(attributes)
    _numbered(_MOUNT_SETATTR, current_folder, os.fsencode(target), recursive, address, 32)


def unmount(target: str) -> None:
    _call("umount2", os.fsencode(target), _DETACH)


def enter_root(folder: str) -> None:
    """Make the mounted ``folder`` the root of this mount namespace; the old one is gone. It is read-only from then on."""
    os.chdir(folder)
    _numbered(_PIVOT_ROOT.get(MACHINE), b".", b".")
    unmount(".")
    os.chdir("/")
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", 1, 0, 0, 0), 32)
    _numbered(_MOUNT_SETATTR, -100, b"/", 0, ctypes.addressof(attributes), 32)


def die_with_parent() -> None:
    """SIGKILL for this process when the thread that forked it ends. Lost when its user changes."""
    _call("prctl", _SET_DEATH_SIGNAL, 9, 0, 0, 0)


def become_reaper() -> None:
    """Descendants whose parent died become children of this process."""
    _call("prctl", _SET_REAPER, 1, 0, 0, 0)


def no_new_privileges() -> None:
    _call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def drop_capabilities() -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    nothing = ctypes.create_string_buffer(24)
    _numbered(_CAPSET.get(MACHINE), ctypes.addressof(header), ctypes.addressof(nothing))


def attach_filter(program: bytes) -> None:
    """Irrevocably judge every system call of this process by a BPF program (see ``filters``)."""
    code = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    _call("prctl", _SET_SECCOMP, _FILTER_MODE, ctypes.addressof(header), 0, 0)


# Landlock: https://docs.kernel.org/userspace-api/landlock.html
_EXECUTE, _WRITE_FILE, _READ = 1 << 0, 1 << 1, 1 << 2 | 1 << 3
_FILES_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_NEWEST_RIGHTS = (1 << 16) - 1
_NETWORK, _SCOPES = 1 << 0 | 1 << 1, 1 << 0 | 1 << 1
_OWN_FOLDER = ((1 << 15) - 1) & ~(1 << 0 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11)
"""All but running files and making devices, sockets and pipes."""


def landlock_abi() -> int:
    """0 where the kernel has no Landlock."""
    try:
        return _numbered(_LANDLOCK_CREATE, 0, 0, 1)
    except OSError:
        return 0


def landlock_ruleset(readable: Sequence[str], writable: str, *, execute: bool) -> int:
    """A descriptor of the rules: what may be read, the one folder that may be written, and nothing else."""
    abi = landlock_abi()
    handled = _RIGHTS_BY_ABI.get(abi, _NEWEST_RIGHTS)
    attributes = struct.pack("=Q", handled)
    if abi >= 4:
        attributes += struct.pack("=Q", _NETWORK)
    if abi >= 6:
        attributes += struct.pack("=Q", _SCOPES)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    rules = _numbered(_LANDLOCK_CREATE, ctypes.addressof(buffer), len(attributes), 0)
    rights: Mapping[str, int] = {
        **dict.fromkeys(readable, _READ | (_EXECUTE if execute else 0)),
        writable: _OWN_FOLDER,
        os.devnull: _READ | _WRITE_FILE,
    }
    for path, right in rights.items():
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            folder = os.path.isdir(path)
            rule = struct.pack("=Qi", right & handled & (-1 if folder else _FILES_ONLY), descriptor)
            buffer = ctypes.create_string_buffer(rule, len(rule))
            _numbered(_LANDLOCK_ADD, rules, 1, ctypes.addressof(buffer), 0)
        finally:
            os.close(descriptor)
    return rules


def landlock_restrict(ruleset: int) -> None:
    _numbered(_LANDLOCK_RESTRICT, ruleset, 0)
