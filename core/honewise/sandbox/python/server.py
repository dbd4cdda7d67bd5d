"""The fork server: a clean process that has Python's usual modules loaded, and forks a child for each program.

It never sees a program, an argument or a test: the parent passes it descriptors, and the child reads its work from its
own, after it has confined itself for good. So there is nothing of an earlier program, or of another's tests, in the
memory that a child gets. Single-threaded; ends when the parent hangs up, and everything it started with it.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import gc
import importlib
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

from .boxes import PROGRAMS, python_folders
from .confine import LIMITS_BYTES, SECCOMP, Fence, Limits
from .inside import work

__all__ = ["ENDED", "FAILED", "KILL", "KILLED", "LATE", "REPORT", "START", "STARTED", "main"]

STARTED = struct.Struct("=BBBB")
"""What the parent says: START or KILL, flags (1: with standard input, 2: with a link), box, unused. A start is
followed by its limits and comes with the descriptors: [input], output, errors, channel, [link]. It is passed on as it
is to the child."""
START, KILL = 1, 2
REPORT = struct.Struct("=BiBd")
"""What is said of each program in the end: its box, wait status, how it ended, seconds."""
ENDED, LATE, KILLED, FAILED = range(4)

_HIGH = 200
_MESSAGE = STARTED.size + LIMITS_BYTES
_PREIMPORTED = """
_sitebuiltins abc array ast atexit base64 bisect calendar cmath collections collections.abc contextlib copy
dataclasses datetime decimal enum fractions functools hashlib heapq inspect io itertools json linecache math numbers
operator os queue random re statistics string struct sys textwrap threading time traceback types typing unicodedata
"""
"""Loaded before the first program, so that no program pays for them. Any other module of the standard library can be
imported too, at its own cost."""


@dataclass
class _Run:
    box: int
    size: tuple[int, int]
    pid: int
    orders: socket.socket
    setup: int
    """Where the child wrote one byte after it had confined itself and before it read the program."""
    began: float = 0.0
    deadline: float = 0.0
    reason: int = ENDED


def main(config: dict[str, Any]) -> None:
    """Serve until the parent hangs up: ``control`` is a descriptor, ``base`` a folder, ``without`` what to leave."""
    for name in _PREIMPORTED.split():
        importlib.import_module(name)
    fence = Fence(config["base"], config["without"])
    _clean_interpreter()
    with socket.socket(fileno=config["control"]) as control, contextlib.suppress(ConnectionError):
        control.set_inheritable(False)
        server = _Server(control, fence)
        report = json.dumps(fence.check()).encode()
        control.sendall(struct.pack("=I", len(report)) + report)
        gc.collect()
        gc.freeze()
        server.serve()


def _clean_interpreter() -> None:
    """Leave the search path of the standard library, and no trace of where and how the server was started."""
    sys.path[:] = [*python_folders(), f"{python_folders()[0]}/lib-dynload"]
    for name in [name for name in sys.modules if name.partition(".")[0] == "honewise"]:
        del sys.modules[name]
    sys.path_importer_cache.clear()
    sys.argv[:] = [""]
    sys.orig_argv[:] = [sys.executable]
    main = sys.modules["__main__"].__dict__
    for name in [name for name in main if not name.startswith("__")]:
        del main[name]
    site = sys.modules["_sitebuiltins"]
    for name in ("exit", "quit"):  # what the module site gives to scripts, which does not run here
        setattr(builtins, name, site.Quitter(name, "Ctrl-D"))


class _Server:
    def __init__(self, control: socket.socket, fence: Fence) -> None:
        self._control, self._fence = control, fence
        self._runs: dict[int, _Run] = {}
        self._spares: dict[int, _Run] = {}
        self._pid = os.getpid()
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
            for run in list(self._runs.values()):
                self._reap(run)
            if self._control.fileno() in events and not self._listen():
                break
            now = time.monotonic()
            for run in self._runs.values():
                if now >= run.deadline:
                    self._kill(run, LATE)
        for run in list(self._runs.values()):
            self._kill(run, KILLED)
            self._reap(run, block=True)
        for spare in self._spares.values():
            self._discard(spare)

    def _listen(self) -> bool:
        message, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 8)
        while message and len(message) < _MESSAGE:
            rest = self._control.recv(_MESSAGE - len(message))
            message = message + rest if rest else b""
        if not message:
            return False
        what, _, box, _ = STARTED.unpack_from(message)
        if what == START:
            self._start(box, message, descriptors)
        elif box in self._runs:
            self._kill(self._runs[box], KILLED)
        for descriptor in descriptors:
            os.close(descriptor)
        if what == START and box in PROGRAMS:
            self._prepare(next(other for other in PROGRAMS if other != box), self._runs[box].size)
        return True

    def _start(self, box: int, message: bytes, descriptors: list[int]) -> None:
        limits = Limits.unpack(message[STARTED.size :])
        self._prepare(box, (limits.folder_bytes, limits.folder_files))
        run = self._spares.pop(box)
        run.began = time.monotonic()
        run.deadline = run.began + limits.seconds
        self._runs[box] = run
        with contextlib.suppress(OSError):  # it died, which its report will say
            socket.send_fds(run.orders, [message], descriptors)
        run.orders.close()

    def _prepare(self, box: int, size: tuple[int, int]) -> None:
        """Have a child wait in that box, confined, for what it is to do."""
        if box in self._runs or (box in self._spares and self._spares[box].size == size):
            return
        if box in self._spares:
            self._discard(self._spares.pop(box))
        folder = self._fence.boxes.prepare(box, *size)
        rules = self._fence.rules(folder)
        setup, says = os.pipe()
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            self._child(folder, rules, theirs, says)
        os.close(says)
        theirs.close()
        self._spares[box] = _Run(box, size, pid, ours, setup)

    def _discard(self, spare: _Run) -> None:
        spare.orders.close()
        os.close(spare.setup)
        os.kill(spare.pid, signal.SIGKILL)
        os.waitpid(spare.pid, 0)

    def _child(self, folder: str, rules: int | None, orders: socket.socket, says: int) -> None:
        """Never returns. What goes wrong before the program is read goes to the server's own error file."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            os.environ.update(HOME=folder, TMPDIR=folder)
            self._fence.enter(folder, rules, self._pid)
            message, descriptors, _, _ = socket.recv_fds(orders, _MESSAGE, 8)
            if not message:
                os._exit(0)
            _, flags, _, _ = STARTED.unpack_from(message)
            limits = Limits.unpack(message[STARTED.size :])
            high = [fcntl.fcntl(each, fcntl.F_DUPFD, min(_HIGH, limits.open_files // 2)) for each in descriptors]
            self._fence.limit(limits)
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
        for kill in (os.killpg, os.kill):  # it may not have its group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(run.pid, signal.SIGKILL)

    def _reap(self, run: _Run, *, block: bool = False) -> None:
        """Report it if it has ended, after nothing of it is left: no process and no file."""
        pid, status = os.waitpid(run.pid, 0 if block else os.WNOHANG)
        if pid == 0:
            return
        if SECCOMP in self._fence.why:  # it may have started others; while they live, its number is no other's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)
        seconds = time.monotonic() - run.began
        del self._runs[run.box]
        if os.read(run.setup, 1) != b"k":
            run.reason = FAILED
        os.close(run.setup)
        self._fence.boxes.clean(run.box)
        with contextlib.suppress(BrokenPipeError):
            self._control.sendall(REPORT.pack(run.box, status, run.reason, seconds))
