"""``honewise audit rewards medical-mcq`` finds nothing, through the real command."""

from __future__ import annotations

import json
import subprocess
import sys


def test_nothing_is_found() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "honewise", "audit", "rewards", "medical-mcq", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert [finding for finding in told["findings"] if not finding["ok"]] == []
    tried = {each["name"]: each for each in told["rewards"]}
    assert tried["correct"]["tried"] > 300
    assert tried["correct"]["unscored"] == 0
    assert all(each["unsteady"] == each["by_order"] == 0 for each in tried.values() if each["tried"])
