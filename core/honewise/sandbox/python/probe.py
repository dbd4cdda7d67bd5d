"""Whether what should be in force holds: tried once, in a child that confines itself as one for a program does."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket

from honewise.errors import SandboxError

from .confine import LANDLOCK, PRIVILEGES, SECCOMP, Fence, Limits, steps
from .tree import Boxes
from .world import OWN_NET, OWN_PIDS, OWN_ROOT, OWN_USER, OWN_USERS

__all__ = ["checked"]

_ORDER = (OWN_USERS, OWN_PIDS, OWN_NET, OWN_ROOT, OWN_USER, LANDLOCK, SECCOMP, PRIVILEGES)
_TRIAL = Limits(5.0, 256 << 20, 1 << 20, 1 << 20, 64, 64, 8, 0)


def checked(fence: Fence, boxes: Boxes, outside: str) -> list[tuple[str, bool, str]]:
    """Each protection: its name, whether it is in force, and else why not.

    ``outside`` is a file that no program may read. What was refused or does not hold is taken from ``fence``. Raises
    ``SandboxError`` where nothing would keep a program from starting processes without end.
    """
    found = _try(fence, boxes, outside)
    for name, reason in found.items():
        fence.has.discard(name)
        fence.world.has.discard(name)
        fence.why[name] = reason
    if not fence.bounded:
        raise SandboxError("nothing on this system would bound the number of processes that a program starts")
    has = fence.has | fence.world.has
    why = fence.world.why | fence.why
    return [(name, name in has, "" if name in has else why.get(name, "none is in use")) for name in _ORDER]


def _try(fence: Fence, boxes: Boxes, outside: str) -> dict[str, str]:
    folder = boxes.prepare(0, _TRIAL.folder_bytes, _TRIAL.folder_files)
    rules, server = fence.rules(folder, _TRIAL), os.getpid()
    said, says = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(10)
            os.setsid()
            os.write(says, json.dumps(_trial(fence, folder, rules, server, outside)).encode())
        finally:
            os._exit(0)
    os.close(says)
    with os.fdopen(said, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    boxes.clean(0)
    if not answer:
        raise SandboxError("the trial of the protections died")
    found: dict[str, str] = json.loads(answer)
    return found


def _trial(fence: Fence, folder: str, rules: int | None, server: int, outside: str) -> dict[str, str]:
    failed: dict[str, str] = {}
    for name, step in steps(fence, _TRIAL, folder, rules, server):
        try:
            step()
        except OSError as error:
            if not name:
                raise
            failed[name] = f"the kernel refuses: {error}"
    has = (fence.has | fence.world.has) - failed.keys()
    if has & {OWN_ROOT, LANDLOCK} and _opens(outside):
        failed |= dict.fromkeys(has & {OWN_ROOT, LANDLOCK}, "it was tried, and a file outside could be read")
    if has & {OWN_NET, SECCOMP} and (reached := _reaches_the_network()):
        failed |= dict.fromkeys(has & {OWN_NET, SECCOMP}, f"it was tried, and {reached}")
    return failed


def _opens(path: str) -> bool:
    try:
        with open(path, "rb"):
            return True
    except OSError:
        return False


def _reaches_the_network() -> str:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as door:
            door.settimeout(1.0)
            door.connect(("127.0.0.1", 9))
    except OSError as error:
        alone = error.errno in (errno.EPERM, errno.EACCES, errno.ENETUNREACH, errno.EAFNOSUPPORT)
        return "" if alone else f"this machine was reached ({error})"
    return "this machine was reached"


