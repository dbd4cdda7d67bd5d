"""Hostile programs: they get no verdict they did not earn, leave no trace, and the next program is scored.

Each attack runs under all protections, and most of them again where only those are left that a container allows.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from honewise.errors import SandboxError
from honewise.sandbox.python import Call, PythonLimits, PythonSandbox

LINUX = sys.platform.startswith("linux")
pytestmark = pytest.mark.skipif(not LINUX, reason="programs are kept in on Linux only")

LIMITS = PythonLimits(seconds=2.0, memory_bytes=128 << 20, output_bytes=1 << 16, folder_bytes=1 << 20, folder_files=50)
GOOD = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(2, 2) == 4", "assert add(3, 40) == 43"]
SECRET = "the-gold-answer-4711"


@pytest.fixture(scope="module", params=["all", "in a container"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[PythonSandbox]:
    without = [] if request.param == "all" else ["namespaces", "user"]
    box = PythonSandbox(without=without)
    needed = [each for each in box.protections() if each.needed and not each.in_force]
    if needed:
        pytest.skip(f"not in force here: {needed}")
    yield box
    box.close()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "gold.txt"
    path.write_text(SECRET)
    for folder in (path, *path.parents):
        if folder != Path(tempfile.gettempdir()):
            try:
                folder.chmod(folder.stat().st_mode | 0o555)
            except PermissionError:
                break
    return path


def children(of: int | None = None) -> set[str]:
    """A process, this one if none is named, and all on this machine that descend from it."""
    parents: dict[str, str] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[name] = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    found = {str(of or os.getpid())}
    while more := {name for name, parent in parents.items() if parent in found} - found:
        found |= more
    return found


MOST = 1 + 4 * 3
"""This process, and of each of three sandboxes: the server, the one for tests, and one or two for programs."""


def settles() -> bool:
    deadline = time.monotonic() + 20
    while len(children()) > MOST and time.monotonic() < deadline:
        time.sleep(0.05)
    return len(children()) <= MOST


def still_good(sandbox: PythonSandbox) -> None:
    result = sandbox.check(GOOD, TESTS, limits=LIMITS)
    assert result.passed, result
    listed = sandbox.run("import os; print(os.listdir('.'))", limits=LIMITS)
    assert listed.stdout == "[]\n", listed


OUTSIDE = Path(tempfile.gettempdir()) / "honewise-stolen"

# What a program may try, with what must come of it as a kind; all have the good function, so that only what they do
# beside can fail them. None of them may pass by what it does.
ATTACKS: dict[str, tuple[str, set[str]]] = {
    "fork": ("import os\nos.fork()", {"denied"}),
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", {"timeout"}),
    "subprocess": ("import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo hi'])", {"denied", "error"}),
    "system": ("import os\nassert os.system('touch ' + {outside!r}) != 0\nos.execv('/bin/sh', ['sh'])", {"denied"}),
    "multiprocessing": ("import multiprocessing as m\np = m.Process(target=print)\np.start()", {"denied", "error"}),
    "memory bomb": ("x = bytearray(1 << 40)", {"memory"}),
    "memory, little by little": ("x = []\nwhile True: x.append(bytearray(1 << 20))", {"memory"}),
    "memory by mapping": ("import mmap\nx = [mmap.mmap(-1, 1 << 26) for _ in range(100)]", {"memory", "error"}),
    "memory file": ("import os\nos.memfd_create('x')", {"denied"}),
    "endless loop": ("while True: pass", {"timeout"}),
    "endless loop that catches all": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        {"timeout"},
    ),
    "loop in C": ("9 ** 9 ** 9", {"timeout", "memory"}),
    "catastrophic pattern": ("import re\nre.match('(a+)+b', 'a' * 60)", {"timeout"}),
    "sleep": ("import time\ntime.sleep(1000)", {"timeout"}),
    "endless output": ("while True: print('x' * 1000)", {"output"}),
    "endless errors": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", {"output"}),
    "endless recursion": ("def f(): f()\nf()", {"error"}),
    "deep recursion in C": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        {"crashed", "memory", "error", "timeout"},
    ),
    "threads without end": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()",
        {"error", "memory", "timeout"},
    ),
    "threads that go on": (
        "import threading\ndef f():\n    while True: pass\nthreading.Thread(target=f).start()",
        {"ok"},
    ),
    "signals ignored": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        {"timeout"},
    ),
    "kill the parent": ("import os\nos.kill(os.getppid(), 9)", {"denied"}),
    "kill all": ("import os\nos.kill(-1, 9)", {"denied"}),
    "kill the group": ("import os\nos.killpg(0, 9)", {"denied"}),
    "exit": ("import os\nos._exit(0)", {"crashed"}),
    "sys.exit": ("raise SystemExit(0)", {"error"}),
    "abort": ("import ctypes\nctypes.string_at(0)", {"crashed"}),
    "socket": ("import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=1)", {"denied"}),
    "socket, unix": ("import socket\nsocket.socket(socket.AF_UNIX).connect('/run/x')", {"denied"}),
    "library": ("import urllib.request\nurllib.request.urlopen('http://127.0.0.1:{port}/')", {"denied"}),
    "server": ("import http.server\nhttp.server.HTTPServer(('', 0), None)", {"denied"}),
    "read outside": ("open({secret!r}).read()", {"denied"}),
    "read a passwd": ("open('/etc/passwd').read()", {"denied"}),
    "read by a link": ("import os\nos.symlink({secret!r}, 'x')\nopen('x').read()", {"denied"}),
    "read by a hard link": ("import os\nos.link({secret!r}, 'x')\nopen('x').read()", {"denied", "error"}),
    "read by going up": ("import os\nos.chdir('/')\nopen({secret!r}[1:]).read()", {"denied"}),
    "read by C": (
        "import ctypes\nc = ctypes.CDLL(None)\nfd = c.open({secret!r}.encode(), 0)\nif fd < 0: raise PermissionError",
        {"denied"},
    ),
    "proc memory": ("open('/proc/self/mem', 'rb')", {"denied"}),
    "proc of the parent": ("import os\nopen(f'/proc/{{os.getppid()}}/environ').read()", {"denied"}),
    "proc root": ("import os\nopen('/proc/self/root' + {secret!r}).read()", {"denied"}),
    "proc descriptors": ("import os\nos.listdir('/proc/self/fd')", {"denied"}),
    "write outside": ("open({folder!r} + '/stolen', 'w')", {"denied"}),
    "write to tmp": ("open({outside!r}, 'w')", {"denied"}),
    "empty a file": ("import os\nos.truncate({secret!r}, 0)", {"denied"}),
    "empty a file by opening": ("import os\nos.open({secret!r}, os.O_RDONLY | os.O_TRUNC)", {"denied"}),
    "remove a file": ("import os\nos.unlink({secret!r})", {"denied"}),
    "move a file": ("import os\nos.rename({secret!r}, 'x')", {"denied", "error"}),
    "change a mode": ("import os\nos.chmod({secret!r}, 0)", {"denied"}),
    "delete its folder": ("import os, shutil\nh = os.getcwd()\nos.chdir('/')\nos.rmdir(h)", {"denied", "error"}),
    "delete all": ("import shutil\nshutil.rmtree('/', ignore_errors=True)\nshutil.rmtree({folder!r})", {"denied"}),
    "a large file": ("f = open('x', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", {"error"}),
    "many files": ("for i in range(10**5): open(f'x{{i}}', 'w').write('x')", {"error", "ok", "timeout"}),
    "a deep folder": (
        "import os\nfor i in range(40):\n    os.mkdir('d')\n    os.chdir('d')\nos.mkdir('ro', 0)\nraise ValueError",
        {"error"},
    ),
    "open files": ("x = [open('/dev/null') for _ in range(1000)]", {"error"}),
    "device": ("import os\nos.mknod('x')", {"denied"}),
    "mount": (
        "import ctypes\nc = ctypes.CDLL(None)\nif c.mount(b'x', b'/', b'tmpfs', 0, 0): raise PermissionError",
        {"denied"},
    ),
    "namespace": ("import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise PermissionError", {"denied"}),
    "become root": ("import os\nos.setuid(0)", {"denied"}),
    "trace": (
        "import ctypes, os\nif ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0): raise PermissionError",
        {"denied"},
    ),
    "raise limits": (
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))",
        {"error", "denied"},
    ),
    "standard input": ("print(repr(input()))", {"error"}),
    "the environment": ("import os\nassert not [k for k in os.environ if 'SECRET' in k]\nraise NameError", {"name"}),
    "installed packages": ("import honewise", {"import"}),
    "its own source": ("import sys\nsys.modules['honewise.sandbox.python.inside']", {"error"}),
    "garbage on the channel": (
        "import os\nfor fd in range(3, 9):\n    try: os.write(fd, b'x' * 4096)\n    except OSError: pass",
        {"crashed", "output"},
    ),
    "a huge frame": (
        "import os\nos.write(3, b'\\xff' * 4)\nos.write(3, b'x' * 1000)\nos._exit(0)",
        {"output", "crashed"},
    ),
    "closed channel": ("import os\nos.closerange(0, 64)", {"crashed"}),
    "a null in the source": ("x = '\0'", {"syntax"}),
    "a lone surrogate": ("x = '\ud800'\nraise ValueError(x)", {"error", "syntax"}),
    "nested brackets": ("x = " + "(" * 5000 + ")" * 5000, {"syntax", "memory", "crashed", "error"}),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_what_it_deserves_and_the_next_program_is_scored(
    sandbox: PythonSandbox, name: str, secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, kinds = ATTACKS[name]
    if "timeout" in kinds and sandbox._without:
        pytest.skip("the deadline is the same with all protections")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if "{" in text:
            given = {"secret": str(secret), "folder": str(tmp_path), "outside": str(OUTSIDE)}
            text = text.format(**given, port=listener.getsockname()[1])
        result = sandbox.check(GOOD + text, TESTS, limits=LIMITS)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert result.kind in kinds, result
    if result.kind != "ok":
        assert not any(test.passed for test in result.tests)
    assert secret.read_text() == SECRET
    assert os.listdir(tmp_path) == ["gold.txt"]
    assert not OUTSIDE.exists()
    still_good(sandbox)
    assert settles(), "it left a process"


# Programs that answer wrongly, and try to have the tests think otherwise.
FORGERIES = {
    "exit at the first call": "import os\ndef add(a, b): os._exit(0)",
    "SystemExit at the first call": "def add(a, b): raise SystemExit(0)",
    "equal to all": "class E:\n    def __eq__(self, o): return True\ndef add(a, b): return E()",
    "an int equal to all": "class E(int):\n    def __eq__(self, o): return True\ndef add(a, b): return E(0)",
    "a type that lies": (
        "class E(int):\n    __class__ = property(lambda s: bool)\n    def __eq__(self, o): return True\n"
        "def add(a, b): return E()"
    ),
    "patched builtins": (
        "import builtins\nbuiltins.AssertionError = type('X', (BaseException,), {})\n"
        "builtins.eval = builtins.exec = lambda *a: None\ndef add(a, b): return 0"
    ),
    "a patched checker": (
        "import gc, types\nfor o in gc.get_objects():\n    if isinstance(o, types.FunctionType):\n"
        "        try: o.__code__ = (lambda *a, **k: None).__code__\n        except Exception: pass\n"
        "def add(a, b): return 0"
    ),
    "claims on the channel": (
        "import os, struct, json\ndef say(*w):\n    b = json.dumps(list(w)).encode()\n"
        "    os.write(3, struct.pack('=I', len(b)) + b)\ndef add(a, b):\n"
        "    [say('test', i, 'ok', '', []) for i in range(2)]\n    say('end')\n    return 0"
    ),
    "claims on the channel before all": (
        "import os, struct, json\ndef say(*w):\n    b = json.dumps(list(w)).encode()\n"
        "    os.write(3, struct.pack('=I', len(b)) + b)\nsay('program', 'ok', '', [])\nsay('ready')\n"
        "[say('test', i, 'ok', '', []) for i in range(2)]\nsay('end')\nos._exit(0)"
    ),
    "claims that the tests are broken": (
        "import os, struct, json\nb = json.dumps(['broken', 'x']).encode()\n"
        "os.write(3, struct.pack('=I', len(b)) + b)\ndef add(a, b): return 0"
    ),
    "raises what passes": (
        "import os, struct, json\nb = json.dumps(['raised', ['X'], [], 'ok', '', []]).encode()\ndef add(a, b):\n"
        "    os.write(4, struct.pack('=I', len(b)) + b)\n    return 0"
    ),
    "answers before it is asked": (
        "import os, struct, json\nb = json.dumps(['value', [True, []]]).encode()\n"
        "for _ in range(9): os.write(4, struct.pack('=I', len(b)) + b)\ndef add(a, b): return 0"
    ),
    "garbage on the link": "import os\ndef add(a, b):\n    os.write(4, b'x' * 4096)\n    return 0",
    "questions without end": (
        "import os, struct, json\nb = json.dumps(['call', 'eval', [], {'d': []}]).encode()\ndef add(a, b):\n"
        "    while True: os.write(4, struct.pack('=I', len(b)) + b)"
    ),
    "reads what is expected": (
        "import gc, sys\ndef add(a, b):\n    for o in gc.get_objects():\n"
        "        if isinstance(o, dict) and 'tests' in o: return 4\n"
        "    f = sys._getframe()\n    while f:\n        if 'tests' in f.f_locals: return 4\n        f = f.f_back\n"
        "    return 0"
    ),
    "hangs in the second call": "n = []\ndef add(a, b):\n    n.append(1)\n    while len(n) > 0: pass",
    "a generator without end": "def add(a, b):\n    while True: yield 4",
    "not a number": "def add(a, b): return float('nan')",
    "deep value": "def add(a, b):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x",
    "huge value": "def add(a, b): return 'x' * 10**8",
    "colliding keys": "def add(a, b): return {i * (2**61 - 1): 1 for i in range(10**5)}",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_passes_nothing_and_blames_nobody_else(sandbox: PythonSandbox, name: str) -> None:
    result = sandbox.check(FORGERIES[name], TESTS, limits=LIMITS)
    assert len(result.tests) == 2
    assert not any(test.passed for test in result.tests), result
    still_good(sandbox)


def test_a_program_knows_no_more_of_the_tests_than_the_arguments(sandbox: PythonSandbox) -> None:
    spy = dedent("""
        import gc
        seen = []
        def add(a, b):
            for o in gc.get_objects():
                if isinstance(o, (list, tuple, dict)) and "".join(reversed("1174")) in repr(o)[:10000]:
                    seen.append(1)
            return len(seen)
    """)
    result = sandbox.check(spy, ["assert add(1, 1) == 0, '4711'"], limits=LIMITS)
    assert result.passed, result


def test_no_variable_of_the_caller_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SECRET_TOKEN", SECRET)
    box = PythonSandbox()
    try:
        seen = box.run("import os; print(dict(os.environ))")
        assert seen.ok
        assert SECRET not in seen.stdout
        assert "TOKEN" not in seen.stdout
    finally:
        box.close()


def test_an_earlier_program_is_not_in_the_memory_of_a_later_one(sandbox: PythonSandbox) -> None:
    sandbox.run(f"x = {SECRET!r}", limits=LIMITS)
    seen = sandbox.run(
        "import gc; print(any(''.join(reversed('rewsna-dlog')) in repr(o)[:2000] for o in gc.get_objects()))"
    )
    assert seen.stdout == "False\n"


def test_a_server_that_dies_is_an_error_of_ours_and_the_next_call_starts_another() -> None:
    box = PythonSandbox()
    try:
        assert box.run("print(1)").ok
        forks = box._forks
        assert forks is not None
        timer = threading.Timer(0.3, forks._process.kill)
        timer.start()
        with pytest.raises(SandboxError):
            box.run("while True: pass", limits=PythonLimits(seconds=60))
        timer.join()
        assert box.run("print(2)").stdout == "2\n"
    finally:
        box.close()


def test_what_runs_ends_with_an_owner_that_is_killed() -> None:
    code = """
        import os
        from honewise.sandbox.python import PythonLimits, run_python
        run_python("print(1)")
        print(os.getpid(), flush=True)
        run_python("while True: pass", limits=PythonLimits(seconds=600))
    """
    owner = subprocess.Popen([sys.executable, "-c", dedent(code)], stdout=subprocess.PIPE, start_new_session=True)
    assert owner.stdout is not None
    owner.stdout.readline()
    deadline = time.monotonic() + 30
    while len(below := children(owner.pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    left = below - {str(owner.pid)}
    assert len(left) >= 2
    while any(Path(f"/proc/{pid}").exists() for pid in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)


def test_nothing_is_left_on_disk_after_closing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for without in ([], ["namespaces"]):
        folder = tmp_path / str(len(without))
        folder.mkdir(0o755)
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        box = PythonSandbox(without=without)
        assert box.run("import os\nopen('a', 'w').write('x')\nos.makedirs('b/c')\nos.symlink('/', 'd')").ok
        box.close()
        assert os.listdir(folder) == []


def test_a_strict_sandbox_refuses_where_files_are_open() -> None:
    box = PythonSandbox(strict=True, without=["landlock"])
    with pytest.raises(SandboxError, match="landlock: switched off"):
        box.run("print(1)")


def test_strictness_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONEWISE_SANDBOX", "strict")
    box = PythonSandbox(without=["seccomp"])
    with pytest.raises(SandboxError, match="strict"):
        box.run("print(1)")


def test_without_any_protection_it_runs_with_a_warning() -> None:
    box = PythonSandbox(without=["landlock", "seccomp", "namespaces", "user", "privileges"])
    try:
        with pytest.warns(UserWarning, match="less protection"):
            result = box.run("def f(x): return x + 1", calls=[Call("f", [1])])
        assert result.value == 2
        assert box.run("while True: pass", limits=LIMITS).kind == "timeout"
    finally:
        box.close()
