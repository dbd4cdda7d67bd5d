"""Programs in the sandbox: what comes back, what kind it has, and how tests and programs talk."""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.errors import SandboxError
from honewise.sandbox.python import Call, Opaque, PythonLimits, PythonSandbox, check_python, run_python
from honewise.sandbox.python.codec import TooLarge, Unreadable, pack, unpack
from honewise.sandbox.python.filters import SUPPORTED, program

LIMITS = PythonLimits(seconds=10.0)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[PythonSandbox]:
    box = PythonSandbox()
    yield box
    box.close()


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("x = 1", "ok"),
        ("", "ok"),
        ("import sys\nsys.exit()", "ok"),
        ("import sys\nsys.exit(3)", "error"),
        ("def f(:", "syntax"),
        ("x = '\\ud800'", "ok"),
        ("import torch_is_not_here", "import"),
        ("print(x)", "name"),
        ("1 + '1'", "type"),
        ("1 / 0", "error"),
        ("assert False", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("x = [0] * 10**12", "memory"),
        ("import os\nos.kill(1, 9)", "denied"),
        ("import atexit\natexit.register(lambda: 1 / 0)", "ok"),
    ],
)
def test_the_kind_of_a_script(sandbox: PythonSandbox, source: str, kind: str) -> None:
    assert sandbox.run(source, limits=LIMITS).kind == kind


def test_what_a_script_prints_reads_and_where_it_fails(sandbox: PythonSandbox) -> None:
    source = "import sys\nprint('é', input())\nprint('bad', file=sys.stderr)\ndef f():\n    return 1 / 0\nf()\n"
    result = sandbox.run(source, stdin="one\ntwo\n", limits=LIMITS)
    assert result.stdout == "é one\n"
    assert result.stderr == "bad\n"
    assert result.error == "ZeroDivisionError: division by zero"
    assert result.lines == ((6, "in <module>"), (5, "ZeroDivisionError: division by zero"))
    assert result.seconds > 0


def test_a_script_is_main_and_its_threads_are_waited_for(sandbox: PythonSandbox) -> None:
    source = "import threading\nif __name__ == '__main__':\n    threading.Thread(target=print, args=('late',)).start()"
    assert sandbox.run(source, limits=LIMITS).stdout == "late\n"


def test_calls_share_a_module_and_fail_alone(sandbox: PythonSandbox) -> None:
    source = "n = []\nclass A:\n    @staticmethod\n    def m(x): return -x\n"
    source += "def f(x, *, y=1):\n    n.append(x)\n    return n, y"
    calls = [Call("f", [1]), Call("f", [2], {"y": (3,)}), Call("f"), Call("g"), Call("A.m", [4])]
    result = sandbox.run(source, calls=calls, limits=LIMITS)
    assert [each.kind for each in result.values] == ["ok", "ok", "type", "name", "ok"]
    assert result.values[0].value == ([1], 1)
    assert result.values[1].value == ([1, 2], (3,))
    assert result.value == -4
    assert result.kind == "type"


def test_a_prelude_has_stand_ins_for_modules_and_does_not_move_lines(sandbox: PythonSandbox) -> None:
    prelude = "import sys, types\nm = types.ModuleType('torch')\nm.load = lambda name: name\nsys.modules['torch'] = m"
    result = sandbox.run("import torch\nprint(torch.load('x'))\nm", prelude=prelude, limits=LIMITS)
    assert (result.stdout, result.kind, result.lines[-1][0]) == ("x\n", "name", 3)


def test_random_numbers_follow_the_seed(sandbox: PythonSandbox) -> None:
    one, same, other = (sandbox.run("import random; print(random.random())", seed=seed).stdout for seed in (1, 1, 2))
    assert one == same != other


def test_limits_hold(sandbox: PythonSandbox) -> None:
    assert sandbox.run("print('x' * 100)", limits=PythonLimits(output_bytes=50)).kind == "output"
    large = sandbox.run("def f(): return 'x' * 10**6", calls=[Call("f")], limits=PythonLimits(result_bytes=1000))
    assert large.kind == "output"
    assert sandbox.run("x" * 100, limits=PythonLimits(source_bytes=50)).kind == "syntax"
    assert sandbox.check("x" * 100, ["1"], limits=PythonLimits(source_bytes=50)).tests[0].kind == "syntax"


def test_each_test_has_a_verdict_of_its_own(sandbox: PythonSandbox) -> None:
    source = "def f(x):\n    if x == 3:\n        return 1 / 0\n    return x"
    result = sandbox.check(source, ["assert f(1) == 1", "assert f(2) == 1", "f(3)", "f(1, 2)", "nope"], limits=LIMITS)
    assert [test.kind for test in result.tests] == ["passed", "failed", "error", "type", "name"]
    assert result.share == 0.2
    assert not result.passed
    assert result.tests[2].lines == ((3, "ZeroDivisionError: division by zero"),)


def test_a_test_that_never_ends_leaves_the_verdicts_before_it(sandbox: PythonSandbox) -> None:
    source = "def f(x):\n    while x: pass\n    return x"
    result = sandbox.check(source, ["assert f(0) == 0", "f(1)", "f(0)"], limits=PythonLimits(seconds=1.0))
    assert [test.kind for test in result.tests] == ["passed", "timeout", "timeout"]


def test_a_program_that_fails_fails_all_tests_with_its_kind(sandbox: PythonSandbox) -> None:
    result = sandbox.check("import nothing_here", ["assert True", "assert True"], limits=LIMITS)
    assert [test.kind for test in result.tests] == ["import", "import"]
    assert not sandbox.check("x = 1", [], limits=LIMITS).passed, "no test is no pass"


def test_with_an_entry_point_nothing_else_of_the_program_is_seen(sandbox: PythonSandbox) -> None:
    source = "def helper(x): return 0\ndef f(x): return 0"
    setup = "def check(candidate):\n    assert helper(candidate(1)) == 0\n"
    given = {"tests": ["check(f)"], "entry_point": "f", "limits": LIMITS}
    assert sandbox.check(source, setup=setup, **given).tests[0].kind == "name"  # type: ignore[arg-type]
    trusted = "def helper(x): return x\n" + setup
    assert sandbox.check(source, setup=trusted, **given).passed  # type: ignore[arg-type]


def test_the_standard_library_needs_no_import_in_tests(sandbox: PythonSandbox) -> None:
    assert sandbox.check("def f(): return 0.1 + 0.2", ["assert math.isclose(f(), 0.3)"], limits=LIMITS).passed


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("def f(x): x.append(1)", "a = []\nf(a)\nassert a == [1]"),
        ("def f(x): x['k'] = {1}; return x", "a = {}\nassert f(a) == a == {'k': {1}}"),
        ("def f():\n    yield 1\n    yield 2", "assert list(f()) == [1, 2]"),
        ("def f(g): return [g(1), g(2)]", "assert f(lambda x: x + 1) == [2, 3]"),
        ("def f(n): return lambda x: x + n", "assert f(2)(3) == 5"),
        ("def f(xs): return sum(xs)", "assert f(x for x in (1, 2, 3)) == 6"),
        ("class P:\n    def __init__(s, x): s.x = x\n    def up(s): s.x += 1", "p = P(1)\np.up()\nassert p.x == 2"),
        (
            "class P:\n    def __init__(s, a, b): s.a, s.b = a, b\ndef f(ps): return max(p.b - p.a for p in ps)",
            "assert f([P(1, 5), P(2, 3)]) == 4",
        ),
        ("class S(str): pass\ndef f(): return S('x')", "assert f() == 'x'"),
        ("class L:\n    def __len__(s): return 3\n    def __getitem__(s, i): return i\ndef f(): return L()",
         "assert len(f()) == 3 and f()[2] == 2"),
        (
            "def f(x):\n    if x < 0: raise ValueError('negative')",
            "try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'negative'",
        ),
        ("class E(KeyError): pass\ndef f(): raise E('k')", "try:\n    f()\n    assert False\nexcept KeyError: pass"),
        ("def f(): return float('inf'), -0.0, 1e308, 2**70", "assert f() == (float('inf'), 0.0, 1e308, 2**70)"),
        ("from collections import *\ndef f(): return Counter('aab')", "assert f() == {'a': 2, 'b': 1}"),
    ],
)  # fmt: skip
def test_tests_and_programs_hand_each_other_things(sandbox: PythonSandbox, source: str, test: str) -> None:
    result = sandbox.check(source, [test], limits=LIMITS)
    assert result.passed, result


@pytest.mark.parametrize(
    ("tests", "setup", "match"),
    [
        (["def ("], "", "the tests are broken: test 0"),
        (["1"], "1 / 0", "the tests are broken: what stands before"),
        (["1"], "import os\nos._exit(0)", "did not end well"),
    ],
)
def test_broken_tests_are_nobodys_score(sandbox: PythonSandbox, tests: list[str], setup: str, match: str) -> None:
    with pytest.raises(SandboxError, match=match):
        sandbox.check("x = 1", tests, setup=setup, limits=LIMITS)
    assert sandbox.run("print(1)").ok


def test_the_shared_sandbox_serves_threads_and_forks() -> None:
    found: list[Any] = []
    threads = [threading.Thread(target=lambda n=n: found.append(run_python(f"print({n})").stdout)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"{n}\n" for n in range(4)]
    child = os.fork()
    if child == 0:
        passed = False
        try:
            passed = check_python("def f(): return 1", ["assert f() == 1"]).passed
        finally:
            os._exit(0 if passed else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert run_python("print(5)").stdout == "5\n", "the parent's goes on"


def plain() -> st.SearchStrategy[Any]:
    keys = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary(), st.dates(),
        st.datetimes(), st.timedeltas(), st.fractions(), st.decimals(allow_nan=False),
        st.complex_numbers(allow_nan=False),
    )  # fmt: skip
    return st.recursive(
        st.one_of(keys, st.text(st.characters(categories=["Cs", "L"]))),
        lambda inner: st.one_of(
            st.lists(inner),
            st.lists(inner).map(tuple),
            st.dictionaries(keys, inner),
            st.frozensets(keys),
            st.sets(keys),
        ),
        max_leaves=20,
    )


@given(plain())
def test_plain_data_arrive_as_they_were(value: Any) -> None:
    found = unpack(pack(value, 1 << 20))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "value",
    [range(3, 9, 2), deque([1, 2]), bytearray(b"x"), date(2020, 2, 29), datetime(2020, 1, 1), timedelta(1, 2, 3),
     Decimal("1.50"), Fraction(1, 3), 10**3000, -(10**20), {(1, 2): {3}}, ..., True],
)  # fmt: skip
def test_other_values(value: Any) -> None:
    found = unpack(pack(value, 1 << 20))
    assert isinstance(found, Opaque) if value is ... else found == value and type(found) is type(value)


def test_special_floats_and_subclasses() -> None:
    assert math.isnan(unpack(pack(float("nan"), 100)))
    assert unpack(pack(Counter("aab"), 1000)) == {"a": 2, "b": 1}
    with pytest.raises(TooLarge):
        pack("x" * 100, 50)
    loop: list[Any] = []
    loop.append(loop)
    assert isinstance(unpack(pack(loop, 1 << 20)), list)


@given(st.binary() | st.text().map(str.encode))
def test_a_reader_of_any_bytes_makes_plain_data_or_says_no(body: bytes) -> None:
    with contextlib.suppress(Unreadable):
        unpack(body)


TAGS = st.sampled_from("tdsfqibycrDFTEMLo")


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(TAGS, inner, max_size=2),
    )
)
def test_a_reader_of_any_json_makes_plain_data_or_says_no(value: Any) -> None:
    with contextlib.suppress(Unreadable):
        unpack(json.dumps(value).encode())


@pytest.mark.parametrize("machine", SUPPORTED)
def test_the_filter_is_a_program_the_kernel_can_take(machine: str) -> None:
    code = program(machine)
    assert len(code) % 8 == 0
    assert len(code) // 8 <= 4096
