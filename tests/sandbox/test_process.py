"""Workers: what they answer, how they die, and that they never outlive or outwait their parent."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from honewise.errors import SandboxError
from honewise.sandbox import wire
from honewise.sandbox import worker as worker_side
from honewise.sandbox.process import (
    WorkerDied,
    WorkerProcess,
    WorkerRaised,
    WorkerTimeout,
    inside_worker,
    running_model_text,
    scrubbed,
    wait,
)

LINUX = sys.platform.startswith("linux")


@pytest.fixture(scope="module")
def shared() -> Iterator[WorkerProcess]:
    with WorkerProcess("sandbox_targets:actions") as worker:
        yield worker


@pytest.fixture
def worker(shared: WorkerProcess) -> WorkerProcess:
    if not shared.alive:
        shared.restart()
    shared.wait_ready()
    return shared


def exists(pid: int) -> bool:
    """Is there a living process (a zombie is none)?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(*pids: int) -> bool:
    deadline = time.monotonic() + 5
    while any(map(exists, pids)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_requests_are_answered_in_a_session_of_its_own_with_empty_input(worker: WorkerProcess) -> None:
    inside, pid, session, read = worker.request(["who", None], timeout=5)
    assert inside
    assert not inside_worker()
    assert pid == session == worker.pid != os.getpid()
    assert read == ""


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**80),
        1.5,
        float("inf"),
        "",
        "naïve",
        "\ud800",
        "\0",
        b"",
        b"\x00\xff",
        [],
        [1, [2.0, "x", b"y"]],
    ],
)
def test_plain_values_travel_both_ways(value: Any) -> None:
    with WorkerProcess("honewise.sandbox.worker:echo") as echo:
        assert echo.request({"key": value}, timeout=5) == {"key": value}


def test_what_is_not_plain_is_refused_before_it_is_sent(worker: WorkerProcess) -> None:
    with pytest.raises(TypeError, match="Path cannot be sent"):
        worker.send(["who", Path()])


def test_what_a_handler_raises_ends_the_request_and_not_the_worker(worker: WorkerProcess) -> None:
    pid = worker.pid
    with pytest.raises(WorkerRaised, match=r"^KeyError: 'x'$") as caught:
        worker.request(["raise", "x"], timeout=5)
    assert "in handle" in caught.value.traceback
    with pytest.raises(WorkerRaised, match="SystemExit: 3"):
        worker.request(["quit", 3], timeout=5)
    assert worker.request(["who", None], timeout=5)[1] == pid


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SandboxError("the database a: b is gone"), "SandboxError", "the database a: b is gone"),
        (SandboxError(), "SandboxError", ""),
        (json.JSONDecodeError("bad", "x", 0), "JSONDecodeError", "bad: line 1 column 1 (char 0)"),
        (KeyError("x"), "KeyError", "'x'"),
        (ValueError("ValueError: twice"), "ValueError", "ValueError: twice"),
        (Unreadable(), "Unreadable", "<exception str() failed>"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_the_class_of_an_error_is_no_part_of_its_message(error: Exception, kind: str, message: str) -> None:
    sent, said = wire.unpack(worker_side._raised(error)[wire.HEADER.size :])
    assert (sent, said["type"], said["message"]) == ("raised", kind, message)


def test_a_generator_sends_parts_as_they_come(worker: WorkerProcess) -> None:
    worker.send(["count", 3])
    assert [worker.receive(5) for _ in range(4)] == [("part", 0), ("part", 1), ("part", 2), ("reply", None)]


@pytest.mark.parametrize("how", ["python", "lock", "model lock", "model", "model reference"])
def test_a_hang_is_killed_and_blamed_on_whom_it_belongs_to(worker: WorkerProcess, how: str) -> None:
    pid = worker.pid
    with pytest.raises(WorkerTimeout):
        worker.request(["hang", how], timeout=0.2)
    assert not worker.alive
    assert not exists(pid)
    assert worker.blamed == (how in ("model", "model lock"))


@pytest.mark.parametrize("model", [False, True])
def test_a_crash_is_reported_with_its_signal_and_blame(worker: WorkerProcess, model: bool) -> None:
    with pytest.raises(WorkerDied, match=r"signal 11.*") as caught:
        worker.request(["crash", model], timeout=5)
    assert caught.value.status == -signal.SIGSEGV
    assert worker.blamed == model
    assert "Segmentation fault" in worker.output()
    worker.restart()
    assert not worker.blamed


def test_an_exit_and_a_kill_from_outside_are_deaths_after_which_it_restarts(worker: WorkerProcess) -> None:
    with pytest.raises(WorkerDied, match="exit status 7"):
        worker.request(["exit", 7], timeout=5)
    with pytest.raises(WorkerDied, match="closed or killed"):
        worker.request(["who", None], timeout=5)
    worker.restart()
    worker.wait_ready()
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="signal 9"):
        worker.request(["who", None], timeout=5)
    worker.restart()
    assert worker.request(["who", None], timeout=5)[0]


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_kill_takes_the_whole_group(worker: WorkerProcess) -> None:
    grandchild = worker.request(["grandchild", None], timeout=5)
    assert exists(grandchild)
    worker.kill()
    assert gone(grandchild, worker.pid)


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_a_group_is_killed_too_where_its_leader_has_already_left(worker: WorkerProcess) -> None:
    grandchild = worker.request(["grandchild", None], timeout=5)
    with pytest.raises(WorkerDied):
        worker.request(["exit", 0], timeout=5)
    assert gone(grandchild)


def test_an_interrupt_kills_the_worker_so_that_no_late_reply_is_taken_for_the_next(worker: WorkerProcess) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            worker.request(["hang", "python"], timeout=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not worker.alive


def test_output_is_kept_and_a_flood_is_cut(worker: WorkerProcess) -> None:
    worker.request(["print", "first words"], timeout=5)
    assert "first words\n" in worker.output()
    for _ in range(40):
        worker.request(["print", "flood " * 20_000], timeout=5)
    worker.request(["print", "flood " * 1_000_000], timeout=5)
    assert os.fstat(worker._output.fileno()).st_size < 2 << 20
    worker.request(["print", "last words"], timeout=5)
    assert "last words" in worker.output()


@pytest.mark.skipif(not LINUX, reason="no such limit elsewhere")
def test_memory_beyond_the_headroom_is_refused_and_the_worker_lives() -> None:
    with WorkerProcess("sandbox_targets:actions", memory_bytes=64 << 20) as small:
        assert small.request(["allocate", 16 << 20], timeout=5) == 16 << 20
        with pytest.raises(WorkerRaised, match="MemoryError"):
            small.request(["allocate", 256 << 20], timeout=5)
        assert small.request(["who", None], timeout=5)[0]


def test_secrets_stay_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OPENAI_API_KEY": "sk-1",
        "HF_TOKEN": "hf_1",
        "AWS_SECRET_ACCESS_KEY": "a",
        "db_password": "p",
        "HTTPS_PROXY": "http://me:secret@proxy:8080",
        "TOKENIZERS_PARALLELISM": "false",
        "LANG": "C.UTF-8",
    }.items():
        monkeypatch.setenv(name, value)
    with WorkerProcess("sandbox_targets:actions", environ={"HONEWISE_EXTRA": "1"}) as worker:
        seen = worker.request(["environment", None], timeout=5)
    assert not {"OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "HTTPS_PROXY"} & seen.keys()
    assert seen["TOKENIZERS_PARALLELISM"] == "false"
    assert seen["LANG"] == "C.UTF-8"
    assert seen["HONEWISE_EXTRA"] == "1"
    assert seen["PYTHONHASHSEED"] == os.environ.get("PYTHONHASHSEED", "0")


def test_scrubbing_looks_at_names_and_at_urls() -> None:
    harmless = {"PATH": "/bin", "TOKENIZERS_X": "1", "HTTP_PROXY": "http://proxy:80", "NOTE": "a@b:c"}
    assert scrubbed({**harmless, "MY_AUTH": "x", "DATABASE": "postgres://u:p@h/d", "GIT_PASS": "x"}) == harmless


@pytest.mark.parametrize("target", ["sandbox_targets:unimportable", "no_such_module:f", "sandbox_targets:missing"])
def test_a_target_that_cannot_be_built_says_why(target: str) -> None:
    worker = WorkerProcess(target)
    with pytest.raises(WorkerRaised, match=r"ModuleNotFoundError|AttributeError"):
        worker.wait_ready()
    assert not worker.alive


def test_several_workers_are_waited_on_together() -> None:
    workers = [WorkerProcess("sandbox_targets:actions") for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(worker)
            worker.wait_ready()
        assert wait(workers, timeout=0) == []
        workers[0].send(["hang", "python"])
        workers[1].send(["who", None])
        assert wait(workers, timeout=5) == [workers[1]]
        os.kill(workers[0].pid, signal.SIGKILL)
        workers[1].receive(5)
        assert wait(workers, timeout=5) == [workers[0]]


@pytest.mark.parametrize("how", ["noise", "code", "shape", "deep", "huge"])
def test_a_worker_that_lies_is_killed(how: str) -> None:
    with WorkerProcess("sandbox_targets:liar", how) as worker:
        with pytest.raises(WorkerDied, match="sent what it should not"):
            worker.request(None, timeout=5)
        assert not worker.alive


def test_a_worker_that_drips_does_not_stretch_the_deadline() -> None:
    with WorkerProcess("sandbox_targets:liar", "drip") as worker:
        worker.wait_ready()
        started = time.monotonic()
        with pytest.raises(WorkerTimeout):
            worker.request(None, timeout=0.3)
        assert time.monotonic() - started < 0.8


def test_blame_outside_a_worker_does_nothing() -> None:
    with running_model_text(), running_model_text(False):
        pass


def test_nothing_is_left_open() -> None:
    if not LINUX:
        pytest.skip("reads /proc")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    worker = WorkerProcess("honewise.sandbox.worker:echo")
    for _ in range(3):
        worker.restart()
    worker.close()
    worker.close()
    del worker
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


ORPHANS = {
    "plain": "",
    "forked": "import os\nif os.fork() == 0:\n    import time; time.sleep(20); os._exit(0)",
    "a thread that ended started it": "",
}


@pytest.mark.skipif(not LINUX, reason="elsewhere a worker that holds the interpreter lock is not reached")
@pytest.mark.parametrize("kind", ORPHANS)
def test_a_worker_dies_with_its_parent_whatever_it_does(kind: str, tmp_path: Path) -> None:
    script = """
        import sys, threading, time
        from honewise.sandbox.process import WorkerProcess
        made = []
        def start():
            made.append(WorkerProcess("sandbox_targets:actions"))
        thread = threading.Thread(target=start)
        if "thread" in sys.argv[1]:
            thread.start(); thread.join(); time.sleep(0.2)
        else:
            start()
        worker = made[0]
        child = worker.request(["grandchild", None], timeout=20)
        worker.send(["hang", "lock"])
        print(worker.pid, child, flush=True)
    """
    source = dedent(script) + ORPHANS[kind] + "\nimport time; time.sleep(60)\n"
    path = tmp_path / "parent.py"
    path.write_text(source)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, str(path), kind], stdout=subprocess.PIPE, text=True, env=environ)
    assert parent.stdout is not None
    with parent.stdout:
        pids = [int(word) for word in parent.stdout.readline().split()]
        time.sleep(0.3)
        assert len(pids) == 2
        assert all(map(exists, pids))
        parent.kill()
        parent.wait()
        assert gone(*pids)


@pytest.mark.parametrize("way", ["file", "stdin", "-c"])
def test_the_callers_main_is_not_run_again(way: str, tmp_path: Path) -> None:
    source = dedent(
        """
        print("main runs")
        from honewise.sandbox.process import WorkerProcess
        worker = WorkerProcess("honewise.sandbox.worker:echo")
        print(worker.request("answered", timeout=20))
        """
    )
    path = tmp_path / "script.py"
    path.write_text(source)
    command = {"file": [str(path)], "stdin": ["-"], "-c": ["-c", source]}[way]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", *command],
        input=source if way == "stdin" else "",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "main runs\nanswered\n", "")


def test_a_fork_neither_uses_nor_kills_the_workers_of_its_parent(worker: WorkerProcess) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException):
            try:
                worker.request(["who", None], timeout=5)
            except SandboxError as error:
                status = 0 if "fork" in str(error) else 2
            worker.kill()
        os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
    assert worker.request(["who", None], timeout=5)[0]
