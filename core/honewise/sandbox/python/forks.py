"""The parent's side of the fork server: starts it, hands programs over, and collects what their processes say.

Whatever a program writes is read here as bytes, bounded in size, and parsed as plain data; nothing of it is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from honewise.errors import SandboxError

from .boxes import PROGRAMS, TESTS
from .codec import Unreadable, unpack
from .confine import Limits
from .frames import HEADER
from .server import FAILED, KILL, KILLED, LATE, REPORT, START, STARTED

__all__ = ["Forks", "Job"]

_BOOT = (
    "import json, sys; config = json.loads(sys.argv.pop()); sys.path[:] = config['path']; "
    "from honewise.sandbox.python.server import main; main(config)"
)
_ENVIRONMENT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0", "PATH": "/usr/bin:/bin", "TZ": "UTC"}
_START_SECONDS = 60.0
_LASTING, _MOST_CHECKS = 86400.0, 200
"""Of a process for tests: its deadline is kept here, check by check."""
_GRACE = 10.0
"""Seconds past a deadline after which the server itself is taken for dead."""


@dataclass(eq=False)
class Job:
    """A process for a program, or for tests: what to send it, and what has come of it so far."""

    request: bytes
    limits: Limits
    box: int = TESTS
    output_bytes: int = 0
    """Of standard output and errors together; 0 where both are dropped."""
    frames_bytes: int = 0
    stdin: bytes = b""
    link: socket.socket | None = None
    frames: list[Any] = field(default_factory=list)
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    fault: str = ""
    """``output``, ``garbled`` or ``late``: why it was killed here."""
    status: int | None = None
    reason: int = 0
    seconds: float = 0.0
    _readers: dict[int, Callable[[bytes], None]] = field(default_factory=dict)
    _unread: bytearray = field(default_factory=bytearray)
    _unsent: memoryview = field(default_factory=lambda: memoryview(b""))
    _channel: socket.socket | None = None

    @property
    def ended(self) -> bool:
        return self.status is not None and not self._readers

    @property
    def late(self) -> bool:
        return (
            self.fault == "late"
            or self.reason == LATE
            or (self.status is not None and os.WIFSIGNALED(self.status) and self._out_of_time)
        )

    @property
    def _out_of_time(self) -> bool:
        return os.WTERMSIG(self.status or 0) == signal.SIGXCPU

    @property
    def how(self) -> str:
        """In what way its process ended."""
        if self.status is None or self.reason == KILLED:
            return "it was ended"
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            return f"its process died of signal {number} ({signal.strsignal(number)})"
        return f"its process ended with status {os.waitstatus_to_exitcode(self.status)} before it was done"

    def let_go(self, *descriptors: int) -> None:
        """Close what is read from it: these, or all."""
        for descriptor in descriptors or list(self._readers):
            del self._readers[descriptor]
            if self._channel is not None and descriptor == self._channel.fileno():
                self._channel.close()
                self._channel = None
            else:
                os.close(descriptor)

    def took(self, what: str) -> list[list[Any]]:
        """The frames of one kind."""
        return [frame[1:] for frame in self.frames if frame[0] == what]


class Forks:
    """A running fork server. One thread at a time; ``close`` ends it and removes its folder."""

    def __init__(self, without: Collection[str] = ()) -> None:
        self._folder = tempfile.mkdtemp(prefix="honewise-python-")
        self._errors: IO[bytes] = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (closed in ``close``)
        self._control, theirs = socket.socketpair()
        path = [os.path.abspath(each) for each in sys.path if isinstance(each, str)]
        config = {"path": path, "control": theirs.fileno(), "base": self._folder, "without": sorted(without)}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, json.dumps(config)],
                stdin=subprocess.DEVNULL,
                stdout=self._errors,
                stderr=self._errors,
                env=_ENVIRONMENT,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except (OSError, TypeError, ValueError) as error:
            self._control.close()
            raise SandboxError(f"the fork server could not be started: {error}") from error
        finally:
            theirs.close()
        self._reports = bytearray()
        self._checker: Job | None = None
        self._checked = 0
        self._turn = 0
        self._jobs: list[Job] = []
        given = self._process, self._control, self._folder, self._errors, self._jobs, os.getpid()
        self.close = weakref.finalize(self, _end, *given)
        try:
            self._control.settimeout(_START_SECONDS)
            (size,) = struct.unpack("=I", self._exactly(4))
            self.protections: list[tuple[str, bool, str]] = [tuple(each) for each in json.loads(self._exactly(size))]
        except (OSError, EOFError) as error:
            raise self._broken(f"the fork server did not start ({type(error).__name__})") from None
        self._control.setblocking(True)

    @property
    def alive(self) -> bool:
        return self.close.alive

    def start(self, job: Job) -> None:
        """Hand it over; the descriptors it needs are closed here. Raises ``SandboxError``."""
        if job.output_bytes:
            job.box = PROGRAMS[self._turn]
            self._turn = (self._turn + 1) % len(PROGRAMS)
            self._end(*(each for each in self._jobs if each.box == job.box))
        ours, theirs = socket.socketpair()
        opened: list[int] = [theirs.detach()]
        try:
            if job.output_bytes:
                for kept in (job.stderr, job.stdout):
                    reads, writes = os.pipe()
                    opened.insert(0, writes)
                    job._readers[reads] = _keeper(job, kept)
            else:
                opened[:0] = [os.open(os.devnull, os.O_WRONLY) for _ in range(2)]
            if job.stdin:
                opened.insert(0, _file_of(job.stdin))
            if job.link is not None:
                opened.append(job.link.detach())
            flags = (1 if job.stdin else 0) | (2 if job.link is not None else 0)
            message = STARTED.pack(START, flags, job.box, 0) + job.limits.pack()
            socket.send_fds(self._control, [message], opened)
        except OSError as error:
            ours.close()
            job.let_go()
            raise self._broken(f"the fork server is gone: {error}") from None
        finally:
            for descriptor in opened:
                os.close(descriptor)
        ours.setblocking(False)
        job._readers[ours.fileno()] = lambda chunk: _take(job, chunk)
        job._channel = ours
        self._jobs.append(job)
        if job.request:
            job._unsent = memoryview(HEADER.pack(len(job.request)) + job.request)

    def check(self, request: bytes, frames_bytes: int, limits: Limits, link: socket.socket) -> Job:
        """Have tests run over a link, in a process that serves many programs, one after another."""
        lasting = limits._replace(seconds=_LASTING)
        job = self._checker
        if job is None or job.ended or job.limits != lasting or self._checked >= _MOST_CHECKS:
            if job is not None:
                self._end(job)
            job = self._checker = Job(b"", lasting)
            self._checked = 0
            self.start(job)
        self._checked += 1
        job.frames, job.frames_bytes = [], frames_bytes
        assert job._channel is not None
        with contextlib.suppress(OSError):  # it died, which its report will say
            socket.send_fds(job._channel, [HEADER.pack(len(request))], [link.fileno()])
            job._unsent = memoryview(request)
        link.close()
        return job

    def kill(self, job: Job) -> None:
        if job.status is None:
            self._control.sendall(STARTED.pack(KILL, 0, job.box, 0) + bytes(len(job.limits.pack())))

    def wait(self, done: Callable[[], bool], seconds: float, *, patient: bool = True) -> bool:
        """Until ``done``, which is asked whenever something came; whether it is. Raises ``SandboxError`` where the
        server fails, and where it is not done in time by far; with ``patient=False`` the time is not waited over."""
        until = time.monotonic() + seconds + (_GRACE if patient else 0.0)
        while not done():
            left = until - time.monotonic()
            if left <= 0 and not patient:
                return False
            if left <= 0:
                raise self._broken("the fork server does not answer")
            poll = select.poll()
            poll.register(self._control, select.POLLIN)
            owners = {descriptor: job for job in self._jobs for descriptor in job._readers}
            for descriptor, job in owners.items():
                sends = job._channel is not None and descriptor == job._channel.fileno() and job._unsent
                poll.register(descriptor, select.POLLIN | (select.POLLOUT if sends else 0))
            events = poll.poll(left * 1000)
            for descriptor, event in events:
                if descriptor == self._control.fileno():
                    self._hear()
                    continue
                job = owners[descriptor]
                if event & select.POLLOUT:
                    _send(job)
                if event & ~select.POLLOUT:
                    self._read(job, descriptor)
        return True

    def finish(self) -> None:
        """End what still runs, and wait until nothing is left of it; a process that can take further tests stays."""
        checker = self._checker
        if checker is not None and (checker.ended or checker.fault or checker.took("end") != [[True]]):
            checker = self._checker = None
        self._end(*(job for job in self._jobs if job is not checker))

    def _end(self, *jobs: Job) -> None:
        for job in jobs:
            self.kill(job)
        self.wait(lambda: all(job.ended for job in jobs), 0.0)
        self._jobs[:] = [job for job in self._jobs if job not in jobs]
        if any(job.reason == FAILED for job in jobs):
            raise self._broken("a process could not be confined, so nothing ran")

    def _read(self, job: Job, descriptor: int) -> None:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            job.let_go(descriptor)
            return
        if job.fault:
            return
        job._readers[descriptor](chunk)
        if job.fault:
            self.kill(job)

    def _hear(self) -> None:
        chunk = self._control.recv(1 << 12)
        if not chunk:
            raise self._broken("the fork server died")
        self._reports += chunk
        while len(self._reports) >= REPORT.size:
            box, status, reason, seconds = REPORT.unpack_from(self._reports)
            del self._reports[: REPORT.size]
            job = next(job for job in self._jobs if job.box == box and job.status is None)
            job.status, job.reason, job.seconds = status, reason, seconds

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._control.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _broken(self, message: str) -> SandboxError:
        size = os.fstat(self._errors.fileno()).st_size
        said = os.pread(self._errors.fileno(), 2000, max(0, size - 2000)).decode("utf-8", "replace").strip()
        self.close()
        return SandboxError(message + (f": {said.rpartition(chr(10))[2]}" if said else ""))


def _keeper(job: Job, kept: bytearray) -> Callable[[bytes], None]:
    def keep(chunk: bytes) -> None:
        room = job.output_bytes - len(job.stdout) - len(job.stderr)
        kept.extend(chunk[: max(0, room)])
        if len(chunk) > room:
            job.fault = "output"

    return keep


def _take(job: Job, chunk: bytes) -> None:
    """Frames as they come; what is no frame of ours, or too much, ends the job."""
    unread = job._unread
    unread += chunk
    job.frames_bytes -= len(chunk)
    if job.frames_bytes < 0:
        job.fault = "output"
    while not job.fault and len(unread) >= HEADER.size:
        (size,) = HEADER.unpack_from(unread)
        if size > job.frames_bytes + len(unread):
            job.fault = "output"
        if len(unread) < HEADER.size + size:
            return
        try:
            frame = unpack(unread[HEADER.size : HEADER.size + size])
        except Unreadable:
            frame = None
        del unread[: HEADER.size + size]
        if isinstance(frame, list) and frame and isinstance(frame[0], str):
            job.frames.append(frame)
        else:
            job.fault = "garbled"


def _send(job: Job) -> None:
    assert job._channel is not None
    try:
        job._unsent = job._unsent[job._channel.send(job._unsent) :]
    except BlockingIOError:
        return
    except OSError:
        job._unsent = memoryview(b"")  # it is gone, which its report will say


def _file_of(data: bytes) -> int:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _end(
    process: subprocess.Popen[bytes],
    control: socket.socket,
    folder: str,
    errors: IO[bytes],
    jobs: list[Job],
    owner: int,
) -> None:
    for job in jobs:
        job.let_go()
    control.close()
    errors.close()
    if os.getpid() != owner:
        process.returncode = 0  # it is another process's child
        return
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    _remove(folder)


def _remove(folder: str) -> None:
    for path in [*_inner(folder), folder]:
        with contextlib.suppress(OSError):
            os.rmdir(path)


def _inner(folder: str) -> Sequence[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []
