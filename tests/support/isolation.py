"""What every test gets: no network, a home and a working folder of its own, and an environment left as it was.

Both ``conftest.py`` files (tests, plugins) take their fixtures from here.
"""

from __future__ import annotations

import atexit
import ipaddress
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["NetworkRefused", "a_folder_of_its_own", "no_leaked_variables"]

_SWITCHES = ("HONEWISE_PLUGINS", "HONEWISE_DISABLE_PLUGINS", "HONEWISE_STRICT_PLUGINS", "HONEWISE_TRACE_PLUGINS")
# Libraries set these for their whole process when they are imported or first used.
_LIBRARIES = (
    "ACCELERATE_",
    "TORCH",
    "PYTORCH_",
    "KMP_",
    "OMP_",
    "GOMP_",
    "MKL_",
    "TOKENIZERS_",
    "TRL_",
    "CUDA_",
    "PYTEST_",
    "TF_",
)


class NetworkRefused(RuntimeError):
    """A test tried to leave this machine."""


def _stays_here(host: Any) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _share_cores() -> None:
    """Where test files run side by side, each process does with one thread, or they would wait for each other."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def _hear_interrupts() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and children inherit that; some tests press it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _refuse_network() -> None:
    """Loopback and local sockets work as ever; anything else raises ``NetworkRefused``, names included."""
    real = {name: getattr(socket.socket, name) for name in ("connect", "connect_ex", "sendto")}
    resolve = socket.getaddrinfo

    def guarded(name: str) -> Any:
        def call(self: socket.socket, *args: Any) -> Any:
            address = args[-1] if name == "sendto" else args[0]
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _stays_here(address[0]):
                raise NetworkRefused(f"tests stay on this machine; refused {address!r}")
            return real[name](self, *args)

        return call

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        if not _stays_here(host):
            raise NetworkRefused(f"tests stay on this machine; refused to look up {host!r}")
        return resolve(host, *args, **kwargs)

    for name in real:
        setattr(socket.socket, name, guarded(name))
    socket.getaddrinfo = getaddrinfo


def _private_home() -> None:
    home, owner = tempfile.mkdtemp(prefix="honewise-tests-"), os.getpid()
    # A forked child leaves through the same exit and must not take the folder with it.
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(home, ignore_errors=True))
    for variable, folder in {
        "HOME": "",
        "XDG_CACHE_HOME": ".cache",
        "XDG_CONFIG_HOME": ".config",
        "XDG_DATA_HOME": ".local/share",
        "HF_HOME": ".cache/huggingface",
    }.items():
        path = Path(home, folder)
        path.mkdir(parents=True, exist_ok=True)
        os.environ[variable] = str(path)


if os.environ.get("HONEWISE_TESTS_ISOLATED") != str(os.getpid()):
    # Before any library reads its settings. Both conftest files may import this module, under one name or two.
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", HONEWISE_TESTS_ISOLATED=str(os.getpid()))
    for switch in _SWITCHES:
        os.environ.pop(switch, None)
    _private_home()
    _refuse_network()
    _hear_interrupts()
    _share_cores()


@pytest.fixture(autouse=True)
def no_leaked_variables() -> Iterator[None]:
    """Fail a test that leaves the environment other than it found it; use ``monkeypatch.setenv``."""
    before = dict(os.environ)
    yield
    after = dict(os.environ)
    changed = sorted(
        name
        for name in before.keys() | after.keys()
        if before.get(name) != after.get(name) and not name.startswith(_LIBRARIES)
    )
    for name in changed:
        if name in before:
            os.environ[name] = before[name]
        else:
            del os.environ[name]
    assert not changed, f"the test left environment variables changed: {', '.join(changed)}"


@pytest.fixture(autouse=True)
def a_folder_of_its_own(
    no_leaked_variables: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work in ``tmp_path``, or an empty folder: what a test writes by relative path (``runs/``) is its own."""
    # pytest looks through all of its numbered folders to make one; most tests need none.
    wanted = "tmp_path" in request.fixturenames
    monkeypatch.chdir(request.getfixturevalue("tmp_path") if wanted else tempfile.mkdtemp(dir=os.environ["HOME"]))
