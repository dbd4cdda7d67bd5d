"""Worker processes that can be killed: the base of the SQL sandbox and of the scoring pool.

A ``WorkerProcess`` runs ``python -c`` with a fixed bootstrap, never the caller's ``__main__``: it works the same from
a notebook, a script without a guard, standard input, pytest or a console script, and it is not a fork, so no lock,
thread or device of the caller is copied. It talks over a socket pair (see ``wire``), one request at a time.

Guaranteed on Linux
    - ``kill`` ends the worker and all processes of its group with SIGKILL, whatever they are doing.
    - The death of the parent, by SIGKILL too, kills the group at once, by the kernel.
    - Nothing a worker sends can run code in the parent or make it wait beyond its deadline.
    - Address space above ``memory_bytes`` is refused; no core file; the first to go where the machine runs out.
    - No variable that looks like a secret is in its environment; standard input is empty.
Elsewhere (macOS)
    - The death of the parent is noticed by a thread, so not while C code holds the interpreter lock.
    - ``memory_bytes`` does not hold.
Not promised anywhere
    - A process that left the group (``setsid``) is not reached by ``kill``.
    - This is no jail: the worker runs as the same user and sees the same files. Code that a model wrote needs more.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import IO, Any, Literal, NamedTuple

from honewise.errors import SandboxError

from . import wire
from .worker import FLAG_BYTES, inside_worker, limit_memory, read_flag, running_model_text

__all__ = [
    "Message",
    "WorkerDied",
    "WorkerProcess",
    "WorkerRaised",
    "WorkerTimeout",
    "inside_worker",
    "limit_memory",
    "running_model_text",
    "scrubbed",
    "wait",
]

_BOOT = (
    "import json, sys; config = json.loads(sys.argv.pop()); sys.path[:] = config['path']; "
    "from honewise.sandbox.worker import main; main(config)"
)
_SECRET_NAME = re.compile(r"KEY|TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|(^|_)PASS(_|$)|CREDENTIAL|AUTH|COOKIE|DSN", re.I)
_SECRET_VALUE = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_MAX_REPLY = 1 << 30
_MAX_OUTPUT = 1 << 20


class WorkerTimeout(SandboxError):
    """No message within the deadline. The worker still runs until it is killed."""


class WorkerDied(SandboxError):
    """The worker is gone, or sent what no worker of ours sends (and was killed). ``status`` as ``Popen.returncode``."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


class WorkerRaised(SandboxError):
    """The handler, or building it, raised. ``kind`` is the exception's class name."""

    def __init__(self, kind: str, message: str, traceback: str) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind, self.message, self.traceback = kind, message, traceback


class Message(NamedTuple):
    """What a worker sent: ``ready`` once, then for each request any number of ``part`` and one ``reply``."""

    kind: Literal["ready", "part", "reply"]
    value: Any


class WorkerProcess:
    """One worker: ``target`` names a factory, ``"package.module:function"``, that is called there with ``arguments``.

    The factory returns the handler, which is called with each request. What it returns is the reply; where it is a
    generator, each value is sent as a part at once, and the reply is None. ``arguments``, requests, parts and replies
    are plain data (see ``wire``). What the handler raises ends the request and not the worker.

    ``memory_bytes`` is headroom above what the built handler has mapped. ``environ`` is laid over the scrubbed
    environment of this process. The worker starts at once and in parallel with the caller; the first
    message is ``ready``. One thread at a time may use a worker. A forked child of the owner neither uses nor kills it.

    >>> worker = WorkerProcess("honewise.sandbox.worker:echo")
    >>> worker.request({"a": [1, None]}, timeout=5)
    {'a': [1, None]}
    >>> worker.close()
    """

    def __init__(
        self,
        target: str,
        arguments: Any = None,
        *,
        memory_bytes: int | None = None,
        environ: Mapping[str, str] | None = None,
        name: str = "worker",
    ) -> None:
        self.target, self.name = target, name
        self._hello = wire.pack({"target": target, "arguments": arguments, "memory_bytes": memory_bytes})
        self._environ = dict(environ or {})
        self._owner = os.getpid()
        self._end: Any = None
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        watched, lifeline = os.pipe()
        flag = _shared_bytes(FLAG_BYTES)
        self._flag = mmap.mmap(flag, FLAG_BYTES)
        self._output = output = _output_file()
        passed = {"connection": theirs.fileno(), "lifeline": watched, "flag": flag}
        config = json.dumps({"path": [os.path.abspath(path) for path in sys.path if isinstance(path, str)], **passed})
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, config],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PYTHONHASHSEED": "0", **scrubbed(os.environ), **self._environ},
                pass_fds=tuple(passed.values()),
                start_new_session=True,
            )
        except (OSError, TypeError, ValueError) as error:  # TypeError: an embedded Python without an executable
            os.close(lifeline)
            ours.close()
            raise SandboxError(f"a {self.name} process could not be started: {error}") from error
        finally:
            theirs.close()
            os.close(watched)
            os.close(flag)
        self.pid, self._process, self._socket, self._lifeline = process.pid, process, ours, lifeline
        self._buffer, self._dead, self.ready = bytearray(), False, False
        self._end = weakref.finalize(self, _end, process, ours, lifeline)
        weakref.finalize(self, output.close)
        _alive.add(self)
        with contextlib.suppress(OSError):  # a worker that could not even start says why when it is read from
            self._write(self._hello, 5.0)

    @property
    def alive(self) -> bool:
        """False after ``kill``, ``close`` and after a ``WorkerDied``; a death that no call met yet does not show."""
        return not self._dead

    @property
    def blamed(self) -> bool:
        """True where the worker was inside ``running_model_text`` when it was last heard of; holds after a kill."""
        return read_flag(self._flag)[0]

    @property
    def model_deadline(self) -> float:
        """``time.monotonic()`` at which the model text it runs has had its time; 0 where none was said."""
        return read_flag(self._flag)[1]

    def fileno(self) -> int:
        """Readable when a message, or the end, has come: for ``wait`` and ``multiprocessing.connection.wait``."""
        return self._socket.fileno()

    def send(self, request: Any, *, timeout: float = 30.0) -> None:
        """Hand over a request without waiting for its reply."""
        self.send_frame(frame(request), timeout=timeout)

    def send_frame(self, frame: bytes, *, timeout: float = 30.0) -> None:
        """The same, with a request that ``frame`` packed before."""
        self._refuse_foreign()
        if os.fstat(self._output.fileno()).st_size > _MAX_OUTPUT:
            os.ftruncate(self._output.fileno(), 0)
        try:
            self._write(frame, timeout)
        except TimeoutError:
            self.kill()
            raise WorkerTimeout(f"the {self.name} process did not take a request within {timeout:g} s") from None
        except OSError:
            raise self._died() from None

    def receive(self, timeout: float) -> Message:
        """The next message. Raises ``WorkerTimeout`` (and leaves it running), ``WorkerDied`` or ``WorkerRaised``."""
        self._refuse_foreign()
        try:
            kind, value = self._read_message(time.monotonic() + timeout)
            if kind == "raised":
                raised = WorkerRaised(str(value["type"]), str(value["message"]), str(value["traceback"]))
                if not self.ready:
                    self.kill()
                raise raised
            return self._message(kind, value)
        except TimeoutError:
            raise WorkerTimeout(f"the {self.name} process sent nothing within {timeout:g} s") from None
        except (OSError, EOFError):
            raise self._died() from None
        except (ValueError, TypeError, KeyError, MemoryError):
            self.kill()
            raise WorkerDied(f"the {self.name} process sent what it should not and was killed", None) from None

    def _message(self, kind: object, value: Any) -> Message:
        if kind == "ready":
            self.ready = True
            return Message("ready", value)
        if kind == "part":
            return Message("part", value)
        if kind == "reply":
            return Message("reply", value)
        raise ValueError(kind)

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return once the handler is built. Raises what ``receive`` raises; the worker is then killed."""
        if self.ready:
            return
        try:
            self.receive(timeout)
        except BaseException:
            self.kill()
            raise

    def request(self, request: Any, *, timeout: float) -> Any:
        """Send and wait for the reply, ``timeout`` seconds from when the worker is ready.

        Raises ``WorkerTimeout`` or ``WorkerDied`` (it is killed, ``restart`` makes a new one) or ``WorkerRaised``.
        """
        self.wait_ready()
        deadline = time.monotonic() + timeout
        try:
            self.send(request, timeout=timeout)
            while (message := self.receive(deadline - time.monotonic())).kind != "reply":
                pass
        except WorkerRaised:
            raise
        except BaseException:  # an interrupt too: a late reply must never answer the next request
            self.kill()
            raise
        return message.value

    def kill(self) -> None:
        """SIGKILL to the whole group; returns once the worker is gone. Safe to call again."""
        self._dead = True
        self._end()

    close = kill

    def restart(self) -> None:
        """Kill it if it lives, and start another from the same target and arguments."""
        self.kill()
        self._owner = os.getpid()
        self._output.close()
        self._start()

    def output(self, limit: int = 4096) -> str:
        """The end of what it printed; readable after a kill too. Each request may print 64 KiB, the rest is dropped."""
        size = os.fstat(self._output.fileno()).st_size
        return os.pread(self._output.fileno(), limit, max(0, size - limit)).decode("utf-8", "replace")

    def _write(self, frame: bytes, timeout: float) -> None:
        self._socket.settimeout(max(timeout, 1e-3))
        self._socket.sendall(frame)

    def _read_message(self, deadline: float) -> tuple[str, Any]:
        self._fill(wire.HEADER.size, deadline)
        size = wire.size_of(self._buffer[: wire.HEADER.size])
        if size > _MAX_REPLY:
            raise ValueError(size)
        self._fill(wire.HEADER.size + size, deadline)
        body, self._buffer = self._buffer[wire.HEADER.size :], bytearray()
        kind, value = wire.unpack(body)
        return kind, value

    def _fill(self, needed: int, deadline: float) -> None:
        """Read to ``needed`` bytes of the current frame and never beyond it; what is read survives a timeout."""
        last = False
        while len(self._buffer) < needed:
            remaining = deadline - time.monotonic()
            if last:
                raise TimeoutError
            last = remaining <= 0
            self._socket.settimeout(max(remaining, 1e-3))
            chunk = self._socket.recv(min(needed - len(self._buffer), 1 << 20))
            if not chunk:
                raise EOFError
            self._buffer += chunk

    def _died(self) -> WorkerDied:
        self.kill()
        status = self._process.returncode
        how = f"exit status {status}"
        if status is not None and status < 0:
            how = f"signal {-status}" + (f", {text}" if (text := signal.strsignal(-status)) else "")
        said = self.output(2048).strip().rpartition("\n")[2]
        return WorkerDied(f"the {self.name} process died ({how})" + (f": {said[-300:]}" if said else ""), status)

    def _refuse_foreign(self) -> None:
        if os.getpid() != self._owner:
            raise SandboxError(f"a {self.name} process belongs to the process that started it, not to a fork of that")
        if self._dead:
            raise WorkerDied(f"the {self.name} process was closed or killed", self._process.returncode)

    def _abandon(self) -> None:
        """In a forked child: let go of the parent's worker without touching it."""
        if self._end is not None and self._end.detach() is not None:
            self._socket.close()
            os.close(self._lifeline)
            self._process.returncode = 0  # it is not this process's child

    def __enter__(self) -> WorkerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def frame(request: Any) -> bytes:
    """A request as it travels. Raises ``TypeError`` or ``ValueError`` on what is not plain data."""
    return wire.pack({"request": request})


def wait(workers: Sequence[WorkerProcess], timeout: float | None = None) -> list[WorkerProcess]:
    """Those of ``workers`` that have a message to ``receive`` or have died; empty after ``timeout`` seconds."""
    poll = select.poll()
    by_descriptor = {worker.fileno(): worker for worker in workers}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.POLLIN)
    events = poll.poll(None if timeout is None else max(0.0, timeout * 1000))
    return [by_descriptor[descriptor] for descriptor, _ in events]


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` without what looks like a secret: by its name, or a URL with a password as its value."""
    return {k: v for k, v in environ.items() if not (_SECRET_NAME.search(k) or _SECRET_VALUE.search(v))}


def _shared_bytes(size: int) -> int:
    """A descriptor of ``size`` bytes of memory without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("honewise")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


def _output_file() -> IO[bytes]:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  (its reader closes it)
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


def _end(process: subprocess.Popen[bytes], connection: socket.socket, lifeline: int) -> None:
    # The group goes before the child is waited for: until then its number cannot be another's.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    connection.close()
    os.close(lifeline)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


_alive: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


def _after_fork() -> None:
    for worker in list(_alive):
        worker._abandon()


os.register_at_fork(after_in_child=_after_fork)
