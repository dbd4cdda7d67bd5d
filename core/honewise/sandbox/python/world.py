"""The namespaces that the fork server enters before it does anything else, and the user that programs run as."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from . import kernel
from .tree import enter_own_root, python_folders

__all__ = ["NOBODY", "OWN_NET", "OWN_PIDS", "OWN_ROOT", "OWN_USER", "OWN_USERS", "World", "make_world"]

NOBODY = 65534

OWN_USERS, OWN_USER = "user namespace", "own user"
OWN_PIDS, OWN_NET, OWN_ROOT = "process namespace", "network namespace", "own root"
_FLAGS = {OWN_PIDS: kernel.NEW_PID, OWN_NET: kernel.NEW_NET, OWN_ROOT: kernel.NEW_MOUNT}
_ALWAYS = kernel.NEW_IPC | kernel.NEW_UTS


@dataclass
class World:
    """What is in force for the whole server, and why the rest is not."""

    base: str
    """The folder of the boxes."""
    packages: Sequence[str] = ()
    """Folders and files of installed packages that may be imported."""
    has: set[str] = field(default_factory=set)
    why: dict[str, str] = field(default_factory=dict)
    pids: int = -1
    """A descriptor of this server's process namespace: each program gets one below it."""
    proc: int = -1
    """A descriptor of ``/proc`` as it was seen before the root changed."""
    user: int = 0
    """The user that programs run as."""


def make_world(base: str, packages: Sequence[str], without: Collection[str]) -> World:
    """Enter what namespaces the kernel allows, in this process or, for one of processes, in a child that goes on alone.

    ``without`` names what to leave out. Must run while this process has one thread.
    """
    world = World(base, packages, user=os.geteuid())
    if not kernel.LINUX:
        world.why = dict.fromkeys([OWN_USERS, *_FLAGS, OWN_USER], "there is none on this system")
        return world
    world.why = {name: "switched off" for name in (OWN_USERS, *_FLAGS) if name in without}
    wanted = [name for name in _FLAGS if name not in without]
    while wanted and not _enter(world, wanted, without):
        wanted.pop()  # a container may allow one and not the other: first all, then without the one that needs most
    world.has.update(wanted)
    if OWN_PIDS in world.has:
        _go_on_in_child()
        world.pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    world.proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if OWN_ROOT in world.has:
        try:
            enter_own_root(base, packages)
            world.base = "/box"
        except OSError as error:
            world.has.discard(OWN_ROOT)
            world.why[OWN_ROOT] = f"it cannot be put together: {error}"
    _choose_user(world, without)
    return world


def _enter(world: World, names: Sequence[str], without: Collection[str]) -> bool:
    """Enter these namespaces, or note why not; what fails is tried in a child first and leaves no trace here."""
    flags = sum(_FLAGS[name] for name in names) | _ALWAYS
    ways: dict[bool, Callable[[], None]] = {}
    if OWN_USERS not in without:
        ways[True] = lambda: _as_user_namespace(flags)
    if os.geteuid() == 0:
        ways[False] = lambda: kernel.unshare(flags)
    for counts, way in ways.items():
        refusal = _refusal(way, mount=OWN_ROOT in names)
        if refusal:
            world.why[names[-1]] = refusal
            if counts:
                world.why[OWN_USERS] = refusal
            continue
        way()
        if counts:
            world.has.add(OWN_USERS)
            world.why.pop(OWN_USERS, None)
        return True
    return False


def _refusal(way: Callable[[], None], *, mount: bool) -> str:
    said, says = os.pipe()
    child = os.fork()
    if child == 0:
        text = "it died"
        try:
            way()
            if mount:
                kernel.make_private()
                kernel.mount_tmpfs("/dev", "size=4k")
            text = ""
        except OSError as error:
            text = f"the kernel refuses: {error}"
        finally:
            os.write(says, b"." + text.encode())
            os._exit(0)
    os.close(says)
    with os.fdopen(said, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return answer[1:].decode() if answer else "the kernel refuses"


def _as_user_namespace(flags: int) -> None:
    """All of it in a user namespace, in which this process keeps its user, and root knows one that is nobody."""
    user, group = os.geteuid(), os.getegid()
    if user != 0:
        kernel.unshare(kernel.NEW_USER | flags)
        _write_map("self", user, group)
        return
    # Only from outside can a second user be let in.
    waits, go = os.pipe()
    this = os.getpid()
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            os.close(go)
            if os.read(waits, 1):
                _write_map(str(this), user, group)
                status = 0
        finally:
            os._exit(status)
    os.close(waits)
    try:
        kernel.unshare(kernel.NEW_USER | flags)
        os.write(go, b"x")
    finally:
        os.close(go)
        failed = os.waitpid(helper, 0)[1]
    if failed:
        raise PermissionError("users cannot be mapped")


def _write_map(process: str, user: int, group: int) -> None:
    texts = {"uid_map": f"{user} {user} 1\n", "gid_map": f"{group} {group} 1\n"}
    if user == 0:
        texts = {name: text + f"{NOBODY} {NOBODY} 1\n" for name, text in texts.items()}
    else:
        texts = {"setgroups": "deny", **texts}
    for name, text in texts.items():
        with open(f"/proc/{process}/{name}", "w") as file:
            file.write(text)


def _go_on_in_child() -> None:
    """This process waits, and its child is the first of the new namespace: with it, all in there end."""
    alive, lives = os.pipe()
    child = os.fork()
    if child:
        os.closerange(3, lives)
        os.closerange(lives + 1, 1 << 16)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0x7F)
    os.close(lives)
    kernel.die_with_parent()
    os.set_blocking(alive, False)
    try:
        os.read(alive, 1)
        os._exit(1)  # it died before the kernel was asked
    except BlockingIOError:
        os.close(alive)


def _choose_user(world: World, without: Collection[str]) -> None:
    """Programs run as nobody where the server is root and that user can read Python."""
    if OWN_USER in without:
        world.why[OWN_USER] = "switched off"
    elif world.user != 0:
        world.why[OWN_USER] = "only root can have programs run as somebody else"
    elif OWN_ROOT not in world.has and (closed := _closed([*python_folders(), world.base])):
        world.why[OWN_USER] = f"{closed} is closed to other users"
    else:
        world.user = NOBODY
        world.has.add(OWN_USER)


def _closed(paths: Sequence[str]) -> str:
    for path in paths:
        while path != os.path.dirname(path):
            if not os.stat(path).st_mode & stat.S_IXOTH:
                return path
            path = os.path.dirname(path)
    return ""
