"""The guards around the tests themselves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from isolation import NetworkRefused

SUPPORT = Path(__file__).parent / "support"


def test_the_network_is_refused_and_loopback_works() -> None:
    with pytest.raises(NetworkRefused, match=r"look up 'example\.org'"):
        socket.create_connection(("example.org", 80))
    with socket.socket() as client, pytest.raises(NetworkRefused, match=r"192\.0\.2\.1"):
        client.connect(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(NetworkRefused):
        client.sendto(b"x", ("192.0.2.1", 53))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"here")
        assert server.accept()[0].recv(4) == b"here"


def test_home_and_working_folder_are_not_the_users(tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path
    assert "honewise-tests-" in os.environ["HOME"]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_leaked_variable_fails_the_test_that_leaks_it(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from isolation import a_folder_of_its_own, no_leaked_variables\n")
    (tmp_path / "test_it.py").write_text(
        "import os\n"
        "def test_leaks(): os.environ['HONEWISE_LEAK'] = '1'\n"
        "def test_clean(monkeypatch):\n"
        "    assert 'HONEWISE_LEAK' not in os.environ\n"
        "    monkeypatch.setenv('HONEWISE_LEAK', '2')\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HONEWISE_TESTS_ISOLATED"} | {"PYTHONPATH": str(SUPPORT)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
    ]
    run = subprocess.run([*command, str(tmp_path)], env=environment, capture_output=True, text=True, check=False)
    assert "left environment variables changed: HONEWISE_LEAK" in run.stdout
    assert "2 passed, 1 error" in run.stdout
