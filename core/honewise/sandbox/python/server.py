"""The fork server: a clean process that has Python's usual modules loaded, and forks a child for each program.

It never sees a program, an argument or a test: the parent passes it descriptors, and the child reads its work from its
own, after it has confined itself for good. So there is nothing of an earlier program, or of another's tests, in the
memory that a child gets. Single-threaded; ends when the parent hangs up, and everything it started with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from typing import Any

from .confine import LIMITS_BYTES, Fence, Limits, confine
from .inside import work
from .kernel import LINUX, NEW_PID, become_reaper, join, unshare
from .prepare import clean_interpreter, mapped_bytes, preimport
from .probe import checked
from .tree import Boxes
from .world import OWN_PIDS, OWN_ROOT, make_world

__all__ = ["ENDED", "FAILED", "KILL", "KILLED", "LATE", "REPORT", "START", "STARTED", "main"]

STARTED = struct.Struct("=BBBBI")
"""What the parent says: START or KILL, flags (1: with standard input, 2: with a link), box, unused, number. A start is
followed by its limits and comes with the descriptors: [input], output, errors, channel, [link]."""
START, KILL = 1, 2
REPORT = struct.Struct("=IiBdQ")
"""What is said of each program in the end: its number, wait status, how it ended, seconds, most bytes resident."""
ENDED, LATE, KILLED, FAILED = range(4)

_HIGH = 200
_MESSAGE = STARTED.size + LIMITS_BYTES


@dataclass
class _Run:
    number: int
    pid: int
    box: int
    began: float
    deadline: float
    setup: int
    """Where the child wrote one byte after it had confined itself and before it read the program."""
    reason: int = ENDED


def main(config: dict[str, Any]) -> None:
    """Serve until the parent hangs up. ``config`` names inherited descriptors and what to leave out."""
    without = config["without"]
    world = make_world(config["base"], config["packages"], without)
    preimport(config["modules"])
    fence = Fence(world, without, mapped_bytes(world.proc))
    boxes = Boxes(world.base, mounted=OWN_ROOT in world.has, owner=world.user, changed=fence.forget)
    clean_interpreter(config["packages"])
    with socket.socket(fileno=config["control"]) as control, contextlib.suppress(ConnectionError):
        control.set_inheritable(False)
        server = _Server(control, fence, boxes)
        report = json.dumps(checked(fence, boxes, __file__)).encode()
        control.sendall(struct.pack("=I", len(report)) + report)
        gc.collect()
        gc.freeze()
        server.serve()


class _Server:
    def __init__(self, control: socket.socket, fence: Fence, boxes: Boxes) -> None:
        self._control, self._fence, self._boxes = control, fence, boxes
        self._runs: dict[int, _Run] = {}
        self._pid = os.getpid()
        if LINUX:
            become_reaper()
        self._wake, wakes = os.pipe()
        for end in (self._wake, wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        while True:
            nearest = min((run.deadline for run in self._runs.values()), default=None)
            wait = None if nearest is None else max(0.0, nearest - time.monotonic()) * 1000 + 1
            events = dict(poll.poll(wait))
            if self._wake in events:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake, 4096)
                self._reap()
            if self._control.fileno() in events and not self._listen():
                break
            now = time.monotonic()
            for run in self._runs.values():
                if now >= run.deadline:
                    self._kill(run, LATE)
        for run in self._runs.values():
            self._kill(run, KILLED)
        while self._runs:
            self._reap(block=True)

    def _listen(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 8)
        while message and len(message) < _MESSAGE:
            rest = self._control.recv(_MESSAGE - len(message))
            message = message + rest if rest else b""
        if not message:
            return False
        what, flags, box, _, number = STARTED.unpack_from(message)
        if what == START:
            self._start(number, flags, box, Limits.unpack(message[STARTED.size :]), descriptors)
        elif number in self._runs:
            self._kill(self._runs[number], KILLED)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _start(self, number: int, flags: int, box: int, limits: Limits, descriptors: list[int]) -> None:
        folder = self._boxes.prepare(box, limits.folder_bytes, limits.folder_files)
        rules = self._fence.rules(folder, limits)
        setup, says = os.pipe()
        if OWN_PIDS in self._fence.world.has:
            join(self._fence.world.pids, NEW_PID)
            unshare(NEW_PID)
        began = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._child(flags, folder, limits, rules, descriptors, says)
        os.close(says)
        self._runs[number] = _Run(number, pid, box, began, began + limits.seconds, setup)

    def _child(
        self, flags: int, folder: str, limits: Limits, rules: int | None, descriptors: list[int], says: int
    ) -> None:
        """Never returns. What goes wrong before the program is read goes to the server's own error file."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            high = [fcntl.fcntl(each, fcntl.F_DUPFD, _HIGH) for each in descriptors]
            os.environ.update(HOME=folder, TMPDIR=folder)
            confine(self._fence, limits, folder, rules, self._pid)
            os.write(says, b"k")
            if not flags & 1:
                high.insert(0, os.open(os.devnull, os.O_RDONLY))
            for target, source in enumerate(high):
                os.dup2(source, target, inheritable=target < 3)
            os.closerange(len(high), 1 << 16)
            gc.enable()
            status = work(3, 4 if flags & 2 else None)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _kill(self, run: _Run, reason: int) -> None:
        if run.reason == ENDED:
            run.reason = reason
        run.deadline = time.monotonic() + 1.0
        with contextlib.suppress(ProcessLookupError):
            os.kill(run.pid, signal.SIGKILL)

    def _reap(self, *, block: bool = False) -> None:
        """Report all that have ended, each after nothing of it is left: no process and no file."""
        by_pid = {run.pid: run for run in self._runs.values()}
        while True:
            try:
                pid, status, usage = os.wait4(-1, 0 if block else os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            block = False
            run = by_pid.get(pid)
            if run is None:
                continue  # an orphan that a program left
            del self._runs[run.number]
            seconds = time.monotonic() - run.began
            if OWN_PIDS not in self._fence.world.has:
                self._sweep(run)
            if os.read(run.setup, 1) != b"k":
                run.reason = FAILED
            os.close(run.setup)
            self._boxes.clean(run.box)
            memory = usage.ru_maxrss * (1024 if LINUX else 1)
            self._control.sendall(REPORT.pack(run.number, status, run.reason, seconds, memory))

    def _sweep(self, run: _Run) -> None:
        """End what a program left behind where no namespace of its own ended with it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.pid, signal.SIGKILL)
        known = {each.pid for each in self._runs.values()}
        while LINUX and (left := _children(self._fence.world.proc, self._pid) - known):
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _children(proc: int, parent: int) -> set[int]:
    found = set()
    for name in filter(str.isdigit, os.listdir(proc)):
        with contextlib.suppress(OSError):
            with os.fdopen(os.open(f"{name}/stat", os.O_RDONLY, dir_fd=proc), "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[1]) == parent:
                found.add(int(name))
    return found
