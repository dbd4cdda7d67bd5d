"""The host: loads plugins by name, merges what they register, and builds domains."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from types import ModuleType
from typing import Any, TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from honewise.contracts import Domain, Reader, Reward
from honewise.errors import DuplicateName, PluginError, UnknownName, UserError
from honewise.registry import Registry

from .discovery import STRICT, TRACE, discover, installed_entry_points
from .options import check_options, options_of
from .records import PluginRecord, one_line
from .staging import Staged, call_hooks, to_stderr

__all__ = ["DomainFactory", "PluginHost", "get_host", "reset_host"]

DomainFactory = Callable[..., Domain]
T = TypeVar("T")


class PluginHost:
    """All installed plugins, each imported only when something of it is asked for.

    ``environ`` (default: the process's) holds the switches ``HONEWISE_PLUGINS``, ``HONEWISE_DISABLE_PLUGINS``,
    ``HONEWISE_STRICT_PLUGINS`` and ``HONEWISE_TRACE_PLUGINS``; ``entry_points`` (default: those installed) replaces
    discovery in tests. Making a host reads metadata and imports no plugin.
    """

    def __init__(
        self, *, environ: Mapping[str, str] | None = None, entry_points: Iterable[metadata.EntryPoint] | None = None
    ) -> None:
        environ = os.environ if environ is None else environ
        self.strict = environ.get(STRICT, "") not in ("", "0")
        self._trace = to_stderr if environ.get(TRACE, "") not in ("", "0") else None
        self.domains: Registry[DomainFactory] = Registry("domain")
        self.rewards: Registry[Reward] = Registry("reward")
        self.judges: Registry[Any] = Registry("judge")
        self.estimators: Registry[Any] = Registry("estimator")
        self.formats: Registry[Reader] = Registry("format")
        found = installed_entry_points() if entry_points is None else entry_points
        self._plugins: dict[str, Any] = {}
        self._trained: set[str] = set()
        self.records: dict[str, PluginRecord] = discover(found, environ, _core_version())
        """By entry point's name; a refused second claim on a name stands under ``name@distribution``."""

    @property
    def registries(self) -> Mapping[str, Registry[Any]]:
        """By kind: domain, reward, judge, estimator, format."""
        every = (self.domains, self.rewards, self.judges, self.estimators, self.formats)
        return {registry.kind: registry for registry in every}

    def register(self, plugin: Any, name: str) -> PluginRecord:
        """Register a module or object of this process, as tests and notebooks do.

        Raises ``DuplicateName`` where a plugin of that name is known. Whatever else is wrong makes the record
        ``broken``, or raises ``PluginError`` where the host is strict.
        """
        if name in self.records:
            raise DuplicateName(f"plugin {name!r} is already known: {self.records[name].owner}")
        package = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__module__
        record = self.records[name] = PluginRecord(name, package=package)
        self._guard(record, lambda: plugin)
        return record

    def load(self, name: str) -> PluginRecord:
        """Import and register one plugin, once; its record says what became of it.

        Raises ``UnknownName`` where no such plugin is installed; in a strict host, ``PluginError`` where it is
        broken or incompatible.
        """
        record = self._record(name)
        if record.state == "found":
            self._guard(record, record.entry_point.load)
        elif self.strict and record.state in ("broken", "incompatible"):
            raise self._complaint(record)
        return record

    def load_all(self) -> list[PluginRecord]:
        """Load every plugin, core's own first, then by name. A strict host raises after the last, with all faults."""
        faults: list[str] = []
        cause: BaseException | None = None
        for key in list(self.records):
            try:
                self.load(key)
            except PluginError as error:
                faults.append(str(error))
                cause = cause or error.__cause__
        if faults:
            raise PluginError("\n".join(faults)) from cause
        return list(self.records.values())

    def load_estimators(self, name: str) -> PluginRecord:
        """Load one plugin and call its ``register_estimators``, which may import torch, once."""
        record = self.load(name)
        if record.state == "loaded" and name not in self._trained:
            self._trained.add(name)
            self._guard(record, lambda: self._plugins[name], late=True)
        return record

    def domain_factory(self, name: str) -> DomainFactory:
        """The factory of a domain, after loading only the entry point ``name`` begins with.

        Raises ``UnknownName``, with near matches, and ``PluginError``, with its cause, where the plugin is unusable.
        """
        if name not in self.domains:
            owner = name.split("/", 1)[0]
            if not self._claims(owner):
                raise UnknownName("domain", name, self._domain_names())
            record = self._usable("domain", name, owner)
            if name not in self.domains:
                raise UnknownName("domain", name, record.domains or self._domain_names())
        return self.domains.get(name)

    def domain_options(self, name: str) -> Mapping[str, inspect.Parameter]:
        """The keyword arguments that the factory of a domain takes."""
        return options_of(self.domain_factory(name))

    def domain(self, name: str, **options: Any) -> Domain:
        """Build a domain. Raises ``UserError`` on an option that it does not take, or of another type."""
        factory = self.domain_factory(name)
        checked = check_options(name, factory, options)
        try:
            built = factory(**checked)
        except UserError:
            raise
        except Exception as error:
            raise PluginError(f"domain {name!r} of {self._owner(name)} cannot be built: {one_line(error)}") from error
        if not isinstance(built, Domain):
            raise PluginError(f"the factory of domain {name!r} of {self._owner(name)} returned {built!r}, not a Domain")
        return built

    def package_of(self, name: str) -> str:
        """The package of the plugin that owns a domain: where its recipes, templates and samples are."""
        self.domain_factory(name)
        module = self.records[name.split("/", 1)[0]].package
        spec = getattr(sys.modules.get(module), "__spec__", None)
        return (spec.parent if spec is not None else None) or module

    def reward(self, name: str) -> Reward:
        """A reward registered outside a domain, by full name: ``entry-point/name``; core's are bare."""
        return self._registered(self.rewards, name)

    def judge(self, name: str) -> Any:
        """A judge template, or a protocol of ``honewise.judges``, registered outside a domain, by full name."""
        return self._registered(self.judges, name)

    def estimator(self, name: str) -> Any:
        """An advantage estimator, by full name. The only look-up that lets plugins register estimators."""
        return self._registered(self.estimators, name, late=True)

    def format(self, name: str) -> Reader:
        """A data set format registered outside a domain, by full name."""
        return self._registered(self.formats, name)

    def require(self, requirements: Sequence[str]) -> None:
        """Check what a recipe asks for, such as ``honewise-text-to-sql>=0.1,<0.2``, and load those plugins.

        Raises one ``PluginError`` with every requirement that is not met.
        """
        faults = [fault for line in requirements for fault in self._unmet(line)]
        if faults:
            raise PluginError("\n".join(faults))

    def _unmet(self, line: str) -> list[str]:
        try:
            wanted = Requirement(line)
        except InvalidRequirement as error:
            return [f"plugins: {line!r} is not a requirement such as 'honewise-text-to-sql>=0.1,<0.2' ({error})"]
        name = canonicalize_name(wanted.name)
        if name == "honewise":
            ours = _core_version()
            return [] if wanted.specifier.contains(ours, prereleases=True) else [f"needs {line}, this is {ours}"]
        records = [record for record in self.records.values() if record.distribution == name]
        if not records:
            return [f"needs {line}, which is not installed; run: pip install '{line}'"]
        if not wanted.specifier.contains(records[0].version, prereleases=True):
            return [f"needs {line}, installed is {records[0].version}; run: pip install '{line}'"]
        for key in [key for key, record in self.records.items() if record in records]:
            with contextlib.suppress(PluginError):  # a strict host's; the record below says the same
                self.load(key)
        return [f"needs {line}: {r.owner} is {r.state}: {r.reason}" for r in records if r.state != "loaded"]

    def _registered(self, registry: Registry[T], name: str, late: bool = False) -> T:
        if name not in registry:
            owner, slash, _ = name.partition("/")
            if not slash:
                for key in [key for key, record in self.records.items() if record.core]:
                    self.load_estimators(key) if late else self.load(key)
            elif self._claims(owner):
                self._usable(registry.kind, name, owner, late)
        return registry.get(name)

    def _usable(self, kind: str, name: str, owner: str, late: bool = False) -> PluginRecord:
        record = self.load_estimators(owner) if late else self.load(owner)
        if record.state != "loaded":
            raise PluginError(f"{kind} {name!r} comes from {self._complaint(record)}") from record.error
        return record

    def _claims(self, name: str) -> list[PluginRecord]:
        return [record for record in self.records.values() if record.name == name]

    def _record(self, name: str) -> PluginRecord:
        if name in self.records:
            return self.records[name]
        claims = self._claims(name)  # several distributions claim the name, and none may have it
        if not claims:
            raise UnknownName("plugin", name, self.records)
        return claims[0]

    def _guard(self, record: PluginRecord, fetch: Callable[[], Any], late: bool = False) -> None:
        """Register what ``fetch`` returns; any failure of the plugin goes into its record."""
        staged = Staged(record.name, record.owner, bare=record.core, trace=self._trace)
        try:
            # What a plugin prints while it is imported must not end up in the output of ``--json``.
            with contextlib.redirect_stdout(sys.stderr):
                plugin = fetch()
                hooks = call_hooks(plugin, staged, late)
            self._merge(staged, record.owner)
        except (Exception, SystemExit) as error:  # a plugin may call sys.exit(); Ctrl-C still works
            record.fail(error)
            if self._trace:
                self._trace(f"{record.name}: broken: {record.reason}")
            if self.strict:
                raise self._complaint(record) from error
            return
        if not late:
            record.state, record.hooks, record.domains = "loaded", hooks, tuple(staged.things["domain"])
            self._plugins[record.name] = plugin

    def _merge(self, staged: Staged, owner: str) -> None:
        registries = self.registries
        for kind, things in staged.things.items():
            for name in things:
                registries[kind].refuse_duplicate(name, owner)
        for kind, things in staged.things.items():
            registries[kind].merge(things, owner)

    def _complaint(self, record: PluginRecord) -> PluginError:
        error = PluginError(f"{record.owner}: {record.state}: {record.reason}")
        error.__cause__ = record.error
        return error

    def _owner(self, domain: str) -> str:
        return self.domains.entry(domain).owner

    def _domain_names(self) -> set[str]:
        return set(self.domains) | {r.name for r in self.records.values() if r.usable and not r.domains}


@cache
def get_host() -> PluginHost:
    """The host of this process, made on first use."""
    return PluginHost()


def reset_host() -> None:
    """Forget the host of this process: the next ``get_host`` discovers again."""
    get_host.cache_clear()


def _core_version() -> str:
    from honewise import __version__

    return __version__
