"""Several processes do one piece of work: what goes wrong in one of them ends all of them, each with its own words."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("accelerate")

import torch

from honewise.engine import processes
from honewise.errors import JudgeBudgetExceeded, Problem, RecipeError
from honewise.runs.processes import Place

COUNT = 2
CASES: list[tuple[str, int, dict[str, list[str]]]] = [
    ("nothing", 0, {"0": ["", "0"], "1": ["", "10"]}),
    ("budget", 1, {rank: ["JudgeBudgetExceeded", "all is spent"] for rank in "01"}),
    ("recipe", 0, {"0": ["RecipeError", "a.yaml: 1 problem\n  x: is wrong"],
                   "1": ["UserError", "a.yaml: 1 problem\n  x: is wrong"]}),
    ("value", 0, {"0": ["ValueError", "no\nway"],
                  "1": ["EndedElsewhere", "process 1 of 2 failed: ValueError: no way"]}),
    ("value", 1, {"0": ["EndedElsewhere", "process 2 of 2 failed: ValueError: no way"],
                  "1": ["ValueError", "no\nway"]}),
    ("interrupt", 1, {"0": ["KeyboardInterrupt", ""], "1": ["KeyboardInterrupt", ""]}),
]  # fmt: skip


def fault(kind: str) -> BaseException:
    faults: dict[str, BaseException] = {
        "budget": JudgeBudgetExceeded("all is spent"),
        "recipe": RecipeError("a.yaml", [Problem("x", "is wrong")]),
        "value": ValueError("no\nway"),
        "interrupt": KeyboardInterrupt(),
    }
    return faults[kind]


def one_of_two(rank: int, port: int, folder: str) -> None:
    here = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": COUNT, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {"OMP_NUM_THREADS": "1", **{name: str(value) for name, value in here.items()}}
    processes.join(Place(rank, COUNT, COUNT), "cpu")
    told: list[list[Any]] = []
    for kind, where, _ in CASES:

        def work(kind: str = kind, where: int = where) -> int:
            if kind != "nothing" and rank == where:
                raise fault(kind)
            return 10 * rank

        try:
            found = processes.together(work)
        except BaseException as error:
            told.append([type(error).__name__, str(error)])
        else:
            told.append(["", str(found)])
        processes.wait()  # they are in step afterwards
    (Path(folder) / str(rank)).write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_an_error_of_one_ends_all(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ranks = [subprocess.Popen([sys.executable, __file__, str(rank), str(port), str(tmp_path)]) for rank in range(COUNT)]
    try:
        assert [each.wait(1500) for each in ranks] == [0] * COUNT
    finally:
        for each in ranks:
            each.kill()
    for rank in range(COUNT):
        told = json.loads((tmp_path / str(rank)).read_text())
        assert told == [wanted[str(rank)] for _, _, wanted in CASES]


def test_alone_it_costs_nothing() -> None:
    assert processes.together(lambda: "done") == "done"
    with pytest.raises(RecipeError):
        processes.together(lambda: (_ for _ in ()).throw(fault("recipe")))


if __name__ == "__main__":
    one_of_two(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
