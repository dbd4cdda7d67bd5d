"""The plugin host: discovery by metadata, one record each, nothing half registered."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from distributions import GOOD, entry_points_on, install

from honewise import Completion, Domain, JudgeTemplate, Reader, Rubric, Task, UserError, Verdict, hookimpl, reward
from honewise.errors import DuplicateName, PluginError, UnknownName
from honewise.host import PluginHost, get_host, reset_host

Make = Callable[..., PluginHost]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder on the import path."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if name.startswith("hw_"):
            del sys.modules[name]


@pytest.fixture
def host_of(place: Path) -> Make:
    def make(environ: Mapping[str, str] | None = None) -> PluginHost:
        return PluginHost(environ=environ or {}, entry_points=entry_points_on(place))

    return make


def good(place: Path, name: str = "words", distribution: str = "", **more: Any) -> None:
    module = f"hw_{name}_{distribution.replace('-', '_')}"
    source = GOOD.replace("NAME", name)
    install(place, distribution or f"honewise-{name}", {name: module}, modules={module: source}, **more)


def bad(place: Path, name: str, source: str, **more: Any) -> None:
    install(place, f"honewise-{name}", {name: f"hw_{name}"}, modules={f"hw_{name}": source}, **more)


def blank(**changes: Any) -> Domain:
    parts: dict[str, Any] = {
        "prompt": lambda task: [],
        "parse": lambda text, task: Completion(text),
        "gold": lambda task: None,
        "samples": lambda split: [],
        "rewards": [],
        "rubrics": {"default": Rubric({})},
    }
    return Domain(**parts | changes)


class Everything:
    """One plugin with all five hooks; ``calls`` keeps their order."""

    def __init__(self, name: str = "all") -> None:
        self.name = name
        self.calls: list[str] = []

    @hookimpl
    def register_formats(self, register: Any) -> None:
        self.calls.append("formats")
        register("lines", Reader(lambda path: [Task("0", {})]))

    @hookimpl
    def register_estimators(self, register: Any) -> None:
        self.calls.append("estimators")
        register(SimpleNamespace(name="mine"))

    @hookimpl
    def register_judges(self, register: Any) -> None:
        self.calls.append("judges")
        register("polite", JudgeTemplate("polite.md", parse=lambda reply: Verdict(1.0)))

    @hookimpl
    def register_rewards(self, register: Any) -> None:
        self.calls.append("rewards")
        register(_brief)

    @hookimpl
    def register_domains(self, register: Any) -> None:
        self.calls.append("domains")
        register(self.name, blank)
        register(f"{self.name}/hard", blank)


@reward(name="brief")
def _brief(completion: Completion) -> bool:
    return len(completion.text) < 10


# Discovery


def test_discovery_reads_metadata_and_imports_nothing(place: Path, host_of: Make) -> None:
    bad(place, "loud", "raise SystemExit('imported')")
    good(place)
    host = host_of()
    assert [(r.name, r.distribution, r.version, r.state) for r in host.records.values()] == [
        ("loud", "honewise-loud", "1.0", "found"),
        ("words", "honewise-words", "1.0", "found"),
    ]
    assert not any(name.startswith("hw_") for name in sys.modules)


def test_only_the_plugin_asked_for_is_imported(place: Path, host_of: Make) -> None:
    good(place)
    good(place, "other")
    host = host_of()
    assert isinstance(host.domain("words"), Domain)
    assert [r.state for r in host.records.values()] == ["found", "loaded"]
    assert "hw_other_" not in sys.modules


def test_another_version_is_refused_before_import(place: Path, host_of: Make) -> None:
    bad(place, "old", "raise RuntimeError('imported')", requires=["honewise<0.1", "rich"])
    bad(place, "new", "raise RuntimeError('imported')", requires=["Honewise>=99,<100"])
    good(place, requires=["honewise>=0.1,<0.2", "honewise>=99; extra == 'next'", "not a requirement at all ("])
    host = host_of()
    assert {r.name: r.state for r in host.load_all()} == {
        "old": "incompatible",
        "new": "incompatible",
        "words": "loaded",
    }
    assert host.records["old"].reason == "needs honewise<0.1, this is 0.1.0"
    with pytest.raises(
        PluginError, match=r"domain 'new' comes from plugin new .* incompatible: needs honewise<100,>=99"
    ):
        host.domain("new")


def test_switches_allow_block_and_name_what_is_missing(place: Path, host_of: Make) -> None:
    for name in ("a", "b", "c"):
        good(place, name)

    def states(**environ: str) -> dict[str, str]:
        return {name: record.state for name, record in host_of(environ).records.items()}

    assert states() == {"a": "found", "b": "found", "c": "found"}
    assert states(HONEWISE_PLUGINS="") == {"a": "blocked", "b": "blocked", "c": "blocked"}
    assert states(HONEWISE_PLUGINS="a, honewise-C") == {"a": "found", "b": "blocked", "c": "found"}
    assert states(HONEWISE_DISABLE_PLUGINS="b,honewise_c") == {"a": "found", "b": "blocked", "c": "blocked"}
    assert states(HONEWISE_PLUGINS="a,b", HONEWISE_DISABLE_PLUGINS="b")["b"] == "blocked"
    missing = host_of({"HONEWISE_PLUGINS": "a,zzz"}).records["zzz"]
    assert (missing.state, missing.reason) == ("broken", "named in HONEWISE_PLUGINS, but not installed")
    with pytest.raises(PluginError, match="blocked: not named in HONEWISE_PLUGINS"):
        host_of({"HONEWISE_PLUGINS": "a"}).domain("b")


def test_core_stays_where_plugins_are_restricted_and_comes_first() -> None:
    host = PluginHost(environ={"HONEWISE_PLUGINS": ""})
    assert next(iter(host.records)) == "arithmetic"
    assert {r.state for r in host.records.values() if r.core} == {"found"}
    assert {r.state for r in host.records.values() if not r.core} <= {"blocked"}


def test_two_distributions_claiming_one_name_are_both_named(place: Path, host_of: Make) -> None:
    good(place, "words", "alpha-words")
    good(place, "words", "beta-words")
    good(place, "rest")
    host = host_of()
    claims = [r for r in host.load_all() if r.name == "words"]
    assert [r.state for r in claims] == ["broken", "broken"]
    for record in claims:
        assert "alpha-words 1.0" in record.reason
        assert "beta-words 1.0" in record.reason
    assert host.records["rest"].state == "loaded"
    with pytest.raises(PluginError, match="alpha-words"):
        host.domain("words")
    chosen = host_of({"HONEWISE_DISABLE_PLUGINS": "beta-words"})
    assert isinstance(chosen.domain("words"), Domain)
    assert {key: record.state for key, record in chosen.records.items()} == {
        "rest": "found",
        "words": "loaded",
        "words@beta-words": "blocked",
    }


def test_the_distribution_named_after_a_plugin_keeps_its_name(place: Path, host_of: Make) -> None:
    good(place, "words")
    good(place, "words", "a-squatter")
    host = host_of()
    assert isinstance(host.domain("words"), Domain)
    assert host.records["words"].distribution == "honewise-words"
    squatter = host.records["words@a-squatter"]
    assert squatter.state == "broken"
    assert "plugin words (a-squatter 1.0) claims the name 'words', which plugin words (honewise-words 1.0)" in (
        squatter.reason
    )


def test_nobody_takes_a_name_of_core(place: Path) -> None:
    good(place, "arithmetic", "honewise-arithmetic")
    from importlib import metadata

    points = [*metadata.entry_points(group="honewise"), *entry_points_on(place)]
    host = PluginHost(environ={}, entry_points=points)
    assert host.records["arithmetic"].distribution == "honewise"
    assert host.records["arithmetic@honewise-arithmetic"].state == "broken"


def test_unreadable_metadata_is_a_record_not_a_crash(place: Path) -> None:
    good(place)
    broken = place / "honewise_torn-1.0.dist-info"
    broken.mkdir()
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: honewise-torn\nVersion: 1.0\n")
    (broken / "entry_points.txt").write_text("[honewise]\nthis line has no equals sign\n")
    host = PluginHost(environ={})
    assert host.records["honewise-torn"].state == "broken"
    assert "cannot be read" in host.records["honewise-torn"].reason
    assert isinstance(host.domain("words"), Domain)


def test_one_entry_point_twice_on_the_path_is_one_plugin(place: Path) -> None:
    good(place)
    points = entry_points_on(place)
    assert list(PluginHost(environ={}, entry_points=points + points).records) == ["words"]


# Broken plugins


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_package_anywhere", "ModuleNotFoundError: No module named 'no_such_package_anywhere'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        ("x = 1", "has no hook; mark at least one of register_domains"),
        (
            "def register_domains(register): pass",
            "register_domains of plugin sick (honewise-sick 1.0) is not a hook yet",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domain(register): pass",
            "implements the unknown hook 'register_domain'; did you mean 'register_domains'?",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domains(registrar): pass",
            "Argument(s) {'registrar'} are declared in the hookimpl but can not be found in the hookspec",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domains(register): yield register('sick', dict)",
            "returned a generator; call register(...) instead",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\nasync def register_rewards(register): register(len)",
            "returned a coroutine",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domains(register): register('words', dict)",
            "plugin sick (honewise-sick 1.0) registers domain 'words'; a domain is named after its entry point: "
            "'sick' or 'sick/<variant>'",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domains(register): register('sick/', dict)",
            "registers domain 'sick/'",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_domains(register): register('sick', 7)",
            "register a factory",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_rewards(register): register('brief')",
            "register a Reward or a function",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_judges(register): register('x', 'text')",
            "judge 'x' of plugin sick (honewise-sick 1.0) is a str, not a JudgeTemplate",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_formats(register): register('x', 'text')",
            "format 'x' of plugin sick (honewise-sick 1.0) is a str, not a Reader",
        ),
        (
            "from honewise import hookimpl\n@hookimpl\ndef register_formats(register): register('a/x', len)",
            "a name is text without '/'",
        ),
    ],
)
def test_a_broken_plugin_is_a_record_and_the_rest_works(place: Path, host_of: Make, source: str, reason: str) -> None:
    bad(place, "sick", source)
    good(place)
    host = host_of()
    states = {record.name: record.state for record in host.load_all()}
    assert states == {"sick": "broken", "words": "loaded"}
    assert reason in host.records["sick"].reason
    assert "\n" not in host.records["sick"].reason
    assert "Traceback" in host.records["sick"].traceback()
    assert isinstance(host.domain("words"), Domain)
    with pytest.raises(PluginError, match=r"domain 'sick' comes from plugin sick .* broken: ") as caught:
        host.domain("sick")
    assert caught.value.__cause__ is host.records["sick"].error
    assert host.load("sick") is host.records["sick"]


def test_registration_is_all_or_nothing(place: Path, host_of: Make) -> None:
    bad(
        place,
        "half",
        """
        from honewise import hookimpl
        from honewise.contracts import Reader
        @hookimpl
        def register_domains(register):
            register("half", dict)
        @hookimpl
        def register_rewards(register):
            register(len)
        @hookimpl
        def register_formats(register):
            register("x", Reader(list))
            register("x", Reader(list))
        """,
    )
    host = host_of()
    assert host.load("half").state == "broken"
    assert host.records["half"].reason == "format 'half/x' is registered twice by plugin half (honewise-half 1.0)"
    assert all(len(registry) == 0 for registry in host.registries.values())
    assert host.records["half"].domains == ()


def test_interruption_is_not_swallowed(place: Path, host_of: Make) -> None:
    bad(place, "slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        host_of().load_all()


def test_strict_raises_with_every_fault(place: Path, host_of: Make) -> None:
    bad(place, "a", "import nothing_like_this")
    bad(place, "b", "", requires=["honewise>99"])
    good(place)
    host = host_of({"HONEWISE_STRICT_PLUGINS": "1"})
    with pytest.raises(PluginError) as caught:
        host.load_all()
    assert "plugin a (honewise-a 1.0): broken: ModuleNotFoundError" in str(caught.value)
    assert "plugin b (honewise-b 1.0): incompatible: needs honewise>99" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert host.records["words"].state == "loaded"
    assert host_of({"HONEWISE_STRICT_PLUGINS": "0"}).load("a").state == "broken"


def test_trace_tells_hooks_and_registrations(place: Path, host_of: Make, capsys: pytest.CaptureFixture[str]) -> None:
    good(place)
    bad(place, "a", "import nothing_like_this")
    host_of({"HONEWISE_TRACE_PLUGINS": "1"}).load_all()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "words: register_domains" in captured.err
    assert "domain words" in captured.err
    assert "a: broken: ModuleNotFoundError" in captured.err


def test_what_a_plugin_prints_does_not_reach_standard_output(
    place: Path, host_of: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    bad(place, "chatty", "print('hello')\n" + GOOD.replace("NAME", "chatty"))
    assert host_of().load("chatty").state == "loaded"
    assert capsys.readouterr().out == ""


# Names and look-up


def test_hooks_are_called_in_order_and_names_get_their_prefix(honewise_host: PluginHost) -> None:
    plugin = Everything()
    record = honewise_host.register(plugin, "all")
    assert (record.state, record.domains) == ("loaded", ("all", "all/hard"))
    assert plugin.calls == ["domains", "rewards", "judges", "formats"]
    assert honewise_host.estimator("all/mine").name == "mine"
    assert honewise_host.estimator("all/mine").name == "mine"
    assert plugin.calls == ["domains", "rewards", "judges", "formats", "estimators"]
    assert honewise_host.reward("all/brief") is _brief
    assert honewise_host.judge("all/polite").file == "polite.md"
    assert isinstance(honewise_host.format("all/lines"), Reader)
    assert record.hooks == tuple(f"register_{n}" for n in ("domains", "rewards", "judges", "estimators", "formats"))


def test_core_names_are_bare_and_third_parties_cannot_take_them(honewise_host: PluginHost) -> None:
    honewise_host.load_all()
    assert {"length", "repetition"} <= set(honewise_host.rewards)
    assert honewise_host.rewards.entry("length").owner == "plugin arithmetic (honewise 0.1.0)"

    class Copy:
        @hookimpl
        def register_rewards(self, register: Any) -> None:
            register(_length)

    @reward(name="length")
    def _length(completion: Completion) -> float:
        return 0.0

    honewise_host.register(Copy(), "mine")
    assert honewise_host.reward("mine/length") is _length
    assert honewise_host.reward("length") is not _length


def test_bare_estimators_come_from_core(honewise_host: PluginHost) -> None:
    assert honewise_host.estimator("dense-return").name == "dense-return"
    with pytest.raises(UnknownName, match="no estimator 'dense-retrun'; did you mean 'dense-return'"):
        honewise_host.estimator("dense-retrun")


def test_a_broken_estimator_hook_leaves_the_domains_alone(honewise_host: PluginHost) -> None:
    class Heavy(Everything):
        @hookimpl
        def register_estimators(self, register: Any) -> None:
            raise ImportError("no torch here")

    honewise_host.register(Heavy("heavy"), "heavy")
    assert isinstance(honewise_host.domain("heavy"), Domain)
    with pytest.raises(PluginError, match=r"estimator 'heavy/mine' comes from .* no torch here"):
        honewise_host.estimator("heavy/mine")
    assert isinstance(honewise_host.domain("heavy/hard"), Domain)


def test_unknown_names_show_the_nearest(place: Path, host_of: Make) -> None:
    good(place)
    bad(place, "variants", GOOD.replace("NAME", "variants/easy"))
    host = host_of()
    with pytest.raises(UnknownName, match="no domain 'wrods'; did you mean 'words'"):
        host.domain("wrods")
    with pytest.raises(UnknownName, match="no domain 'variants'; did you mean 'variants/easy'"):
        host.domain("variants")
    with pytest.raises(UnknownName, match="no plugin 'wordz'"):
        host.load("wordz")
    with pytest.raises(UnknownName, match="no reward 'words/nope'; there are none"):
        host.reward("words/nope")


def test_a_name_is_registered_once(honewise_host: PluginHost) -> None:
    honewise_host.register(Everything("one"), "one")
    with pytest.raises(DuplicateName, match="plugin 'one' is already known: plugin one"):
        honewise_host.register(Everything("one"), "one")


# Domains and their options


def typed(
    *,
    style: Literal["full", "compact"] = "full",
    tokens: int = 300,
    share: float = 0.5,
    path: Path | None = None,
    names: tuple[str, ...] = (),
) -> Domain:
    return blank(metrics={"seen": lambda rows: {"path": float(isinstance(path, Path)), "names": len(names)}})


class Typed:
    @hookimpl
    def register_domains(self, register: Any) -> None:
        register("typed", typed)
        register("typed/strict", lambda *, level: blank())
        register("typed/raising", lambda: 1 / 0)
        register("typed/wrong", lambda: {"not": "a domain"})


def test_options_are_checked_against_the_factory(honewise_host: PluginHost) -> None:
    honewise_host.register(Typed(), "typed")
    assert list(honewise_host.domain_options("typed")) == ["style", "tokens", "share", "path", "names"]
    made = honewise_host.domain("typed", style="compact", tokens=1, share=1, path="x/y", names=["a", "b"])
    assert made.metrics["seen"]([]) == {"path": 1.0, "names": 2}
    assert isinstance(honewise_host.domain("typed", path=Path("x")), Domain)
    with pytest.raises(UserError) as caught:
        honewise_host.domain("typed", styel="full", style="wide", tokens="many", share=True)
    message = str(caught.value)
    assert "domain 'typed' has no option 'styel'; did you mean 'style'?" in message
    assert "option 'style' of domain 'typed' is 'wide': Input should be 'full' or 'compact'" in message
    assert "option 'tokens' of domain 'typed' is 'many'" in message
    assert "option 'share' of domain 'typed' is True" in message
    with pytest.raises(UserError, match="domain 'typed/strict' needs the option 'level'"):
        honewise_host.domain("typed/strict")


def test_a_factory_that_fails_is_named(honewise_host: PluginHost) -> None:
    honewise_host.register(Typed(), "typed")
    with pytest.raises(
        PluginError, match=r"domain 'typed/raising' of plugin typed .*cannot be built: ZeroDivisionError"
    ):
        honewise_host.domain("typed/raising")
    with pytest.raises(PluginError, match=r"returned {'not': 'a domain'}, not a Domain"):
        honewise_host.domain("typed/wrong")


def test_package_of_is_where_the_plugin_keeps_its_files(place: Path, host_of: Make, honewise_host: PluginHost) -> None:
    package = place / "hw_pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "hooks.py").write_text(GOOD.replace("NAME", "pack"))
    install(place, "honewise-pack", {"pack": "hw_pack.hooks"})
    good(place)
    host = host_of()
    assert host.package_of("pack") == "hw_pack"
    assert host.package_of("words") == "hw_words_"
    assert honewise_host.package_of("arithmetic") == "honewise.builtin"


# Requirements of a recipe


def test_requirements_are_checked_and_all_shown(place: Path, host_of: Make) -> None:
    good(place)
    bad(place, "sick", "import nothing_like_this")
    host = host_of()
    host.require(["honewise-words>=1,<2", "Honewise_Words", "honewise>=0.1"])
    assert host.records["words"].state == "loaded"
    with pytest.raises(PluginError) as caught:
        host.require(["honewise-words>=2", "honewise-none>=1", "honewise-sick", "honewise>=9", "what is this"])
    lines = str(caught.value).splitlines()
    assert lines[0] == "needs honewise-words>=2, installed is 1.0; run: pip install 'honewise-words>=2'"
    assert lines[1] == "needs honewise-none>=1, which is not installed; run: pip install 'honewise-none>=1'"
    assert lines[2].startswith("needs honewise-sick: plugin sick (honewise-sick 1.0) is broken: ModuleNotFoundError")
    assert lines[3] == "needs honewise>=9, this is 0.1.0"
    assert "'what is this' is not a requirement" in lines[4]


def test_the_process_has_one_host() -> None:
    reset_host()
    first = get_host()
    assert get_host() is first
    reset_host()
    assert get_host() is not first
    reset_host()


# One test for each hook: see test_hooks_documented.py


def test_hook_register_domains(honewise_host: PluginHost) -> None:
    honewise_host.register(Everything(), "all")
    assert isinstance(honewise_host.domain("all/hard"), Domain)


def test_hook_register_rewards(honewise_host: PluginHost) -> None:
    class Plain:
        @hookimpl
        def register_rewards(self, register: Any) -> None:
            def terse(completion: Completion) -> bool:
                return len(completion.text) < 3

            register(terse)
            register(_brief)

    honewise_host.register(Plain(), "plain")
    assert honewise_host.reward("plain/terse")(Completion("ab")) is True
    assert honewise_host.reward("plain/brief") is _brief


def test_hook_register_judges(honewise_host: PluginHost) -> None:
    honewise_host.register(Everything(), "all")
    assert honewise_host.judge("all/polite").parse("anything").value == 1.0


def test_hook_register_estimators(honewise_host: PluginHost) -> None:
    honewise_host.register(Everything(), "all")
    assert honewise_host.estimator("all/mine").name == "mine"

    class Nameless:
        @hookimpl
        def register_estimators(self, register: Any) -> None:
            register(len)

    honewise_host.register(Nameless(), "nameless")
    with pytest.raises(PluginError, match="it needs a name"):
        honewise_host.estimator("nameless/len")


def test_hook_register_formats(honewise_host: PluginHost, tmp_path: Path) -> None:
    class Plain:
        @hookimpl
        def register_formats(self, register: Any) -> None:
            register("lines", lambda path: [Task(str(i), {"text": t}) for i, t in enumerate(path.read_text().split())])

    honewise_host.register(Plain(), "plain")
    (tmp_path / "words.txt").write_text("heap stack")
    tasks = list(honewise_host.format("plain/lines").read(tmp_path / "words.txt"))
    assert [task.inputs["text"] for task in tasks] == ["heap", "stack"]
