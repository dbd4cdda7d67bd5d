"""One plugin's hooks, called into a scratch table: all of it is kept, or nothing."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import pluggy

from honewise import hookspecs
from honewise.contracts import Domain, JudgeTemplate, Reader, Reward, reward
from honewise.errors import DuplicateName, PluginError, near
from honewise.hookspecs import HOOKS

__all__ = ["KINDS", "LATE", "Asking", "Staged", "call_hooks", "to_stderr"]

KINDS: Mapping[str, str] = {
    "register_domains": "domain",
    "register_rewards": "reward",
    "register_judges": "judge",
    "register_estimators": "estimator",
    "register_formats": "format",
}
"""Each hook and the kind of thing it registers."""
LATE = "register_estimators"
"""The hook that is called by training only."""


class Asking(Protocol):
    """A way of asking with a template, as ``honewise.judges`` has them: called with a judge, it returns a verdict."""

    template: JudgeTemplate


@dataclass
class Staged:
    """What one plugin has registered so far, under full names, by kind."""

    entry_point: str
    owner: str
    bare: bool = False
    """Core's own: names outside a domain carry no prefix."""
    trace: Callable[[str], None] | None = None
    things: dict[str, dict[str, Any]] = field(default_factory=lambda: {kind: {} for kind in KINDS.values()})

    def callback(self, hook: str) -> Callable[..., None]:
        """The ``register`` argument of a hook."""
        callbacks: dict[str, Callable[..., None]] = {
            "register_domains": self._domain,
            "register_rewards": self._reward,
            "register_judges": self._judge,
            "register_estimators": self._estimator,
            "register_formats": self._format,
        }
        return callbacks[hook]

    def _domain(self, name: str, factory: Callable[..., Domain]) -> None:
        own = self.entry_point
        if not isinstance(name, str) or not (name == own or (name.startswith(f"{own}/") and _tail_is_plain(name, own))):
            raise PluginError(
                f"{self.owner} registers domain {name!r}; a domain is named after its entry point: "
                f"{own!r} or '{own}/<variant>'"
            )
        if isinstance(factory, Domain) or not callable(factory):
            raise PluginError(f"domain {name!r} of {self.owner}: register a factory, a callable that returns a Domain")
        self._add("domain", name, factory)

    def _reward(self, thing: Reward | Callable[..., Any]) -> None:
        if not callable(thing):
            raise PluginError(f"{self.owner} registers the reward {thing!r}; register a Reward or a function")
        made = thing if isinstance(thing, Reward) else reward(thing)
        self._add("reward", self._full("reward", made.name), made)

    def _judge(self, name: str, template: JudgeTemplate | Asking) -> None:
        if not isinstance(template, JudgeTemplate) and not isinstance(
            getattr(template, "template", None), JudgeTemplate
        ):
            raise PluginError(f"judge {name!r} of {self.owner} is {_kind_of(template)}, not a JudgeTemplate")
        self._add("judge", self._full("judge", name), template)

    def _estimator(self, estimator: Any) -> None:
        if not isinstance(getattr(estimator, "name", None), str):
            raise PluginError(f"{self.owner} registers the estimator {estimator!r}; it needs a name (an Estimator has)")
        self._add("estimator", self._full("estimator", estimator.name), estimator)

    def _format(self, name: str, reader: Reader | Callable[..., Any]) -> None:
        if not isinstance(reader, Reader):
            if not callable(reader):
                raise PluginError(f"format {name!r} of {self.owner} is {_kind_of(reader)}, not a Reader")
            reader = Reader(reader)
        self._add("format", self._full("format", name), reader)

    def _full(self, kind: str, name: str) -> str:
        if not isinstance(name, str) or not name.strip() or "/" in name:
            raise PluginError(
                f"{self.owner} registers {kind} {name!r}; a name is text without '/': core adds the prefix"
            )
        return name if self.bare else f"{self.entry_point}/{name}"

    def _add(self, kind: str, name: str, thing: Any) -> None:
        if name in self.things[kind]:
            raise DuplicateName(f"{kind} {name!r} is registered twice by {self.owner}")
        self.things[kind][name] = thing
        if self.trace:
            self.trace(f"  {kind} {name}")


def call_hooks(plugin: Any, staged: Staged, late: bool = False) -> tuple[str, ...]:
    """Call the hooks of ``plugin``, in the order of ``HOOKS``, into ``staged``; the names of all it has.

    Estimators bring torch, and only training needs them: ``register_estimators`` waits for a ``late`` call, in which
    it is the only one. A manager of its own for each plugin keeps its mistakes its own: pluggy before 1.7 leaves a
    plugin half registered after a bad signature, and one failing hook would stop the hooks of all others.
    Raises whatever the plugin raises, and ``PluginError`` where a hook is unknown, unmarked or returns something.
    """
    manager = pluggy.PluginManager("honewise")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin, name=staged.entry_point)
    callers = manager.get_hookcallers(plugin) or []
    _refuse_unknown(callers, staged.owner)
    names = {caller.name for caller in callers}
    _refuse_unmarked(plugin, names, staged.owner)
    for hook in HOOKS:
        if hook in names and (hook == LATE) == late:
            if staged.trace:
                staged.trace(f"{staged.entry_point}: {hook}")
            _refuse_results(getattr(manager.hook, hook)(register=staged.callback(hook)), hook, staged.owner)
    return tuple(hook for hook in HOOKS if hook in names)


def _refuse_unknown(callers: list[pluggy.HookCaller], owner: str) -> None:
    for caller in callers:
        optional = all(impl.optionalhook for impl in caller.get_hookimpls())
        if not caller.has_spec() and not optional:
            raise PluginError(f"{owner} implements the unknown hook {caller.name!r}{near(caller.name, HOOKS)}")


def _refuse_unmarked(plugin: Any, marked: set[str], owner: str) -> None:
    for hook in HOOKS:
        if hook not in marked and callable(getattr(plugin, hook, None)):
            raise PluginError(f"{hook} of {owner} is not a hook yet: put @hookimpl above it")
    if not marked:
        raise PluginError(f"{owner} has no hook; mark at least one of {', '.join(HOOKS)} with @hookimpl")


def _refuse_results(results: Any, hook: str, owner: str) -> None:
    # A generator or coroutine would run late or never, and what it registers would be lost without a word.
    for result in results:
        if inspect.iscoroutine(result):
            result.close()
        raise PluginError(f"{hook} of {owner} returned {_kind_of(result)}; call register(...) instead of returning")


def _tail_is_plain(name: str, own: str) -> bool:
    tail = name[len(own) + 1 :]
    return bool(tail) and tail == tail.strip() and "/" not in tail


def _kind_of(thing: Any) -> str:
    return f"a {type(thing).__name__}"


def to_stderr(line: str) -> None:
    """Where the trace goes."""
    print(f"honewise plugins: {line}", file=sys.stderr)
