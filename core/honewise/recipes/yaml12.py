"""YAML as recipes use it: the scalars of YAML 1.2's core schema, and nothing that could surprise or run code.

``2e-4`` is a number, ``off``, ``on``, ``yes`` and ``no`` are words, ``010`` is ten, ``12:30`` and dates are text. Keys
stand once in a mapping. Anchors, aliases and ``<<`` merges work; a document that they blow up is refused. Tags that
would construct Python objects are unknown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable
from typing import Any

import yaml

from honewise.errors import Problem, RecipeError

__all__ = ["MAX_BYTES", "MAX_NODES", "dump", "parse"]

MAX_BYTES = 1_000_000
"""Longest document, in UTF-8 bytes."""
MAX_NODES = 100_000
"""Most values of a document, each alias counted with all it stands for."""

_SCALARS = (
    ("tag:yaml.org,2002:null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        ),
        list("-+0123456789."),
    ),
    ("tag:yaml.org,2002:merge", re.compile(r"<<"), ["<"]),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol
    yaml_constructors = dict(yaml.SafeLoader.yaml_constructors)  # noqa: RUF012 - PyYAML's own protocol


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def ignore_aliases(self, _: Any) -> bool:
        return True


for _tag, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern.pattern})\Z"), _first)


def _no_number(what: str, text: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, f"not a {what}: {text[:40]}", node.start_mark)


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    try:
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    except ValueError:
        raise yaml.constructor.ConstructorError(
            None, None, f"not a whole number: {text[:40]}", node.start_mark
        ) from None


def _construct_float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    text = str(loader.construct_scalar(node))
    try:
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))
    except ValueError:
        raise _no_number("number", text, node) from None


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)


def parse(text: str, source: str) -> Any:
    """The document in ``text``; ``source`` names it in errors. Raises ``RecipeError`` with line and column."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise RecipeError(source, [Problem("", f"longer than {MAX_BYTES} bytes")])
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            problems = _inspect(node)
            if problems:
                raise RecipeError(source, problems)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise RecipeError(source, [Problem(_where(error.problem_mark), _what(error))]) from None
    except yaml.YAMLError as error:
        raise RecipeError(source, [Problem("", f"not YAML: {error}")]) from None
    except RecursionError:
        raise RecipeError(source, [Problem("", "nested too deeply")]) from None


def _what(error: yaml.MarkedYAMLError) -> str:
    return " ".join(part for part in (error.context, error.problem) if part)


def _where(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _inspect(root: yaml.Node) -> list[Problem]:
    """Duplicate keys, aliases that contain themselves, and documents that aliases blow up."""
    problems: list[Problem] = []
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        key = id(node)
        if key in open_nodes:
            problems.append(Problem(_where(node.start_mark), "an anchor contains an alias of itself"))
            return 1
        if key not in sizes:
            open_nodes.add(key)
            if isinstance(node, yaml.MappingNode):
                problems.extend(_duplicates(node))
            sizes[key] = 1 + sum(size(child) for child in _children(node))
            open_nodes.discard(key)
        return sizes[key]

    if size(root) > MAX_NODES and not problems:
        problems.append(Problem("", f"more than {MAX_NODES} values once its aliases are followed"))
    return problems


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _duplicates(node: yaml.MappingNode) -> list[Problem]:
    seen: dict[Hashable, yaml.Mark] = {}
    found = []
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        name = (key.tag, key.value)
        if name in seen:
            message = f"key {key.value!r} stands here again; first on line {seen[name].line + 1}"
            found.append(Problem(_where(key.start_mark), message))
        else:
            seen[name] = key.start_mark
    return found


def dump(value: Any) -> str:
    """``value`` as YAML that ``parse`` reads back as the same value; keys keep their order."""
    text: Callable[..., str] = yaml.dump
    return text(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
