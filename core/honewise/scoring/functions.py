"""Finding reward functions by name, here and in a worker, and binding their options."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from honewise.contracts import ARGUMENTS, Domain, Reward
from honewise.contracts import reward as make_reward
from honewise.errors import Problem, UnknownName, UserError, near
from honewise.host import PluginHost
from honewise.host.options import fit_option

__all__ = ["Found", "bind", "faults", "find", "from_file", "rebuild", "unfilled"]


@dataclass(frozen=True, slots=True)
class Found:
    """A reward and where a worker finds the same one; ``source`` is None where it exists in this process only."""

    reward: Reward
    source: tuple[str, ...] | None


def find(
    names: Iterable[str],
    domain: Domain,
    *,
    rewards: Mapping[str, Reward] | None = None,
    files: Mapping[str, str] | None = None,
    host: PluginHost | None = None,
) -> dict[str, Found]:
    """The reward behind each name: of ``rewards``, of ``files``, of the domain, or registered with the host in full.

    Raises ``UnknownName`` with near matches, and what ``from_file`` raises.
    """
    given, own = dict(rewards or {}), {reward.name: reward for reward in domain.rewards}
    found: dict[str, Found] = {}
    for name in names:
        if name in given:
            found[name] = Found(given[name], _importable(given[name]))
        elif name in (files or {}):
            place = (files or {})[name]
            path, _, function = place.rpartition(":")
            found[name] = Found(from_file(name, place), ("file", str(Path(path).expanduser().resolve()), function))
        elif name in own:
            found[name] = Found(own[name], ("domain", name))
        else:
            found[name] = _registered(name, host, [*own, *given, *(files or {})])
    return found


def _registered(name: str, host: PluginHost | None, others: Sequence[str]) -> Found:
    if host is None:
        raise UnknownName("reward", name, others)
    try:
        reward = host.reward(name)
    except UnknownName as unknown:
        raise UnknownName("reward", name, [*others, *unknown.allowed]) from None
    owner = host.records.get(name.split("/", 1)[0]) if "/" in name else None
    here_only = owner is not None and owner.entry_point is None
    return Found(reward, None if here_only else ("host", name))


def rebuild(source: Sequence[str], domain: Domain, host: PluginHost) -> Reward:
    """The reward that ``find`` found in another process."""
    kind, *rest = source
    if kind == "domain":
        return next(reward for reward in domain.rewards if reward.name == rest[0])
    if kind == "file":
        return from_file(rest[1], f"{rest[0]}:{rest[1]}")
    if kind == "host":
        return host.reward(rest[0])
    return _as_reward(_attribute(importlib.import_module(rest[0]), rest[1]), rest[1])


def from_file(name: str, place: str) -> Reward:
    """The reward at ``file.py:function``, called ``name``; the function may be plain or made with ``@reward``.

    Raises ``UserError`` where the file is missing, does not load, or has no such function.
    """
    text, _, function = place.rpartition(":")
    path = Path(text).expanduser().resolve()
    if not text or not function.isidentifier():
        raise UserError(f"reward {name!r}: {place!r} must be written as file.py:function")
    if not path.is_file():
        raise UserError(f"reward {name!r}: no such file: {path}")
    module = _load(str(path), path.stat().st_mtime_ns)
    if isinstance(module, str):
        raise UserError(f"reward {name!r}: {module}")
    thing = getattr(module, function, None)
    if not isinstance(thing, Reward) and not inspect.isroutine(thing):
        there = [key for key, value in vars(module).items() if isinstance(value, Reward) or _own(value, module)]
        raise UserError(f"reward {name!r}: {path.name} has no function {function!r}{near(function, there)}")
    return replace(_as_reward(thing, name), name=name)


def bind(name: str, reward: Reward, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The reward's function with its recipe options, as its annotations want them. Raises ``UserError`` with all that
    ``faults`` finds."""
    fitted, problems = _fitted(name, reward, options)
    if problems:
        raise UserError("\n".join(problem.message for problem in problems))
    return functools.partial(reward.fn, **fitted) if fitted else reward.fn


def faults(name: str, reward: Reward, options: Mapping[str, Any]) -> list[Problem]:
    """Why the reward cannot be called with these options; paths are those below the reward in a recipe."""
    return _fitted(name, reward, options)[1]


def unfilled(name: str, reward: Reward) -> Iterator[str]:
    """Arguments of the reward's function that core does not know how to fill."""
    takes = "a reward takes by name task, completion, tasks, completions and judge; options stand after a *"
    for each in inspect.signature(reward.fn).parameters.values():
        known, needed = each.name in ARGUMENTS, each.default is each.empty
        if each.kind is each.POSITIONAL_ONLY and (known or needed):
            yield f"reward {name!r} takes {each.name!r} by place and not by name; leave out the / behind it"
        elif each.kind is each.POSITIONAL_OR_KEYWORD and needed and not known:
            meant = get_close_matches(each.name, sorted(ARGUMENTS), n=1)
            hint = f"; did you mean {meant[0]!r}? (" if meant else " ("
            yield f"reward {name!r} asks for {each.name!r}, which nothing fills{hint}{takes})"


def _fitted(name: str, reward: Reward, options: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    """The options as the function wants them, and what is wrong."""
    problems = [Problem("", message) for message in unfilled(name, reward)]
    if not problems and not reward.arguments - {"judge"}:
        asks = "asks for none of task, completion, tasks, completions by name"
        problems.append(Problem("", f"the function of reward {name!r} {asks}"))
    allowed, fitted = reward.options, dict(options)
    for key, value in options.items():
        path = f"options.{key}"
        if key not in allowed:
            problems.append(Problem(path, f"reward {name!r} has no option {key!r}{near(key, allowed)}"))
            continue
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            problems.append(Problem(path, f"reward {name!r}: its options must be plain data ({error})"))
            continue
        try:
            fitted[key] = fit_option(reward.fn, key, value)
        except ValueError as error:
            problems.append(Problem(path, f"option {key!r} of reward {name!r} is {value!r}: {error}"))
    for key, default in allowed.items():
        if default is inspect.Parameter.empty and key not in options:
            problems.append(Problem("options", f"reward {name!r} needs the option {key!r}: options: {{{key}: ...}}"))
    return fitted, problems


_modules: dict[tuple[str, int], ModuleType] = {}
"""By path and time of the last change, so that an edited file is loaded again."""


def _load(path: str, changed: int) -> ModuleType | str:
    """A file as a module of its own, or why it does not load."""
    if (path, changed) in _modules:
        return _modules[path, changed]
    spec = importlib.util.spec_from_file_location(f"_honewise_file_{zlib.crc32(path.encode()):08x}", path)
    if spec is None or spec.loader is None:
        return f"{path} is no Python file"
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        return f"{path} does not load ({type(error).__name__}: {error})"
    return _modules.setdefault((path, changed), module)


def _own(value: object, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def _as_reward(thing: Any, name: str) -> Reward:
    if isinstance(thing, Reward):
        return thing
    return make_reward(name=name)(thing)


def _importable(reward: Reward) -> tuple[str, ...] | None:
    """Where another process can import this reward from; None for lambdas, closures and what ``__main__`` holds."""
    module, name = getattr(reward.fn, "__module__", None), getattr(reward.fn, "__qualname__", "")
    loaded = sys.modules.get(module or "")
    if loaded is None or module == "__main__" or getattr(loaded, "__spec__", None) is None or "<" in name:
        return None
    try:
        there = _attribute(loaded, name)
    except AttributeError:
        return None
    if there is reward or (there is reward.fn and reward == _as_reward(reward.fn, reward.name)):
        return ("module", str(module), name)
    return None


def _attribute(thing: Any, path: str) -> Any:
    for part in path.split("."):
        thing = getattr(thing, part)
    return thing
