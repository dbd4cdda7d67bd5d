"""Reading a recipe: the file, the overrides, and every problem at once.

``load_recipe`` checks shapes and what must hold within the recipe. Whoever knows the plugins and the trainers hands in
further ``checks``, whose problems are told together with these.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from honewise.errors import Problem, RecipeError, near

from . import yaml12
from .checks import whole_problems
from .explain import given, in_file_order, problems_of
from .places import stage_places
from .schema import FORMAT, KINDS, Recipe
from .sections import works_of

__all__ = ["Check", "dump_recipe", "json_schema", "load_recipe", "read_recipe", "resolved"]

Check = Callable[[Mapping[str, Any]], Iterable[Problem]]
"""Takes the recipe as read, overrides applied, possibly faulty; returns problems, raises nothing."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.\[\]%:+-]+)?")
_MODEL_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SECRET = re.compile(r"(?i)(hub_token|push_to_hub_token|token|.*(api_?key|secret|password|credentials?))")

_CHOICES = {
    ("policy",): ("tiny", "hub", "path"),
    ("data", "train"): ("samples", "path"),
    ("data", "held_out"): ("samples", "path"),
    ("judge",): ("url", "local", "policy", "panel"),
    ("judge", "local"): ("hub", "path"),
}
_EXCLUSIVE = {(*at, one): tuple(o for o in names if o != one) for at, names in _CHOICES.items() for one in names}
"""An override that sets one of these takes the place of the others."""


def load_recipe(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    text: str | None = None,
    checks: Sequence[Check] = (),
) -> Recipe:
    """The recipe in the file ``source``, or in ``text`` (``source`` then names it in messages).

    ``overrides`` are ``dotted.path=value`` with values in YAML; ``data.train.path=X`` takes the place of ``samples``,
    and ``policy.hub=X`` that of ``tiny`` or ``path``. Paths of data, policy and reward files become absolute where
    they exist beside the recipe or in the working directory. Raises ``RecipeError`` with all problems.
    """
    name, folder = str(source), None
    if text is None:
        path = Path(source)
        folder = path.resolve().parent
        text = read_text(path)
    raw = yaml12.parse(text, name)
    if not isinstance(raw, dict):
        raise RecipeError(name, [Problem("", f"a recipe is a mapping; given: {given(raw)}")])
    problems = _override(raw, overrides)
    if raw.get("name") is None:
        raw["name"] = Path(name).stem
    problems += _say_kinds(raw)
    problems += _format(raw)
    problems += place_paths(raw, folder)
    problems += whole_problems(raw)
    for check in checks:
        problems += check(raw)
    try:
        recipe = Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(name, in_file_order(raw, [*problems, *problems_of(raw, error)])) from None
    if problems:
        raise RecipeError(name, in_file_order(raw, problems))
    return recipe


def read_recipe(path: str | Path) -> Recipe:
    """A resolved recipe, as ``dump_recipe`` wrote it."""
    raw = yaml12.parse(read_text(Path(path)), str(path))
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        raise RecipeError(str(path), problems_of(raw if isinstance(raw, dict) else {}, error)) from None


def resolved(recipe: Recipe) -> dict[str, Any]:
    """The whole recipe as plain values, every default said; what looks like a secret is replaced by a word."""

    def hide(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: hide(item, str(name)) for name, item in value.items()}
        if isinstance(value, list):
            return [hide(item) for item in value]
        return "(hidden)" if isinstance(value, str) and _SECRET.fullmatch(key) else value

    plain: dict[str, Any] = hide(recipe.model_dump(exclude_none=True))
    if recipe.domains is not None:  # what stands with each of them has no place at the top
        del plain["data"]
        plain["rubric"] = {"max_unscored": recipe.rubric.max_unscored}
    return plain


def dump_recipe(recipe: Recipe) -> str:
    """``resolved`` as YAML that ``read_recipe`` reads back."""
    return yaml12.dump(resolved(recipe))


def json_schema() -> dict[str, Any]:
    """The JSON schema of a recipe, for editors."""
    schema = Recipe.model_json_schema(by_alias=True)
    kinds = {kind: {"$ref": f"#/$defs/{model.__name__}"} for kind, model in KINDS.items()}
    named = [
        {"allOf": [reference, {"required": ["stage"], "properties": {"stage": {"const": kind}}}]}
        for kind, reference in kinds.items()
    ]
    stages = schema["properties"]["stages"]
    # A stage may leave its kind to its name, which a discriminator cannot say.
    for key in ("patternProperties", "additionalProperties", "propertyNames"):
        stages.pop(key, None)
    stages["properties"] = kinds
    stages["additionalProperties"] = {"oneOf": named}
    schema["required"] = [key for key in schema["required"] if key != "name"]
    schema["oneOf"] = [{"required": ["domain"]}, {"required": ["domains"]}]
    plain: dict[str, Any] = json.loads(json.dumps(schema))
    return plain


def read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(yaml12.MAX_BYTES + 1).decode("utf-8-sig")
    except IsADirectoryError:
        raise RecipeError(str(path), [Problem("", "is a folder, not a recipe")]) from None
    except FileNotFoundError:
        raise RecipeError(str(path), [Problem("", _not_there(path))]) from None
    except UnicodeDecodeError:
        raise RecipeError(str(path), [Problem("", "is not UTF-8 text")]) from None
    except OSError as error:
        raise RecipeError(str(path), [Problem("", f"cannot be read ({error.strerror})")]) from None


def _not_there(path: Path) -> str:
    beside = sorted(found.name for found in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
    stems = {name.removesuffix(".yaml"): name for name in beside}  # the ending is alike in all of them
    close = difflib.get_close_matches(path.name.removesuffix(".yaml"), stems, n=1)
    return f"no such file{f'; did you mean {path.parent / stems[close[0]]}?' if close else ''}"


# overrides


def _override(raw: dict[str, Any], overrides: Sequence[str]) -> list[Problem]:
    problems = []
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        if not equals or not path or ".." in f".{path}.":
            problems.append(Problem("", f"{override!r} is not an override; write dotted.path=value"))
            continue
        try:
            value = yaml12.parse(text, override)
        except RecipeError as error:
            problems.append(Problem(path, f"{text!r} is not a YAML value: {error.problems[0].message}"))
            continue
        message = _set(raw, path.split("."), value)
        if message:
            problems.append(Problem(path, message))
    return problems


def _set(raw: dict[str, Any], parts: list[str], value: Any) -> str:
    """Set one value; returns what is wrong with the path, or nothing."""
    node: Any = raw
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        key: Any = part
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                return f"{part!r} is no place in a list of {len(node)}; places are counted from 0"
            key = int(part)
        elif not isinstance(node, dict):
            return f"cannot be set: {'.'.join(parts[:depth])} is {given(node)}, not a mapping"
        elif part not in node and part.isdecimal() and int(part) in node:
            key = int(part)
        named = {"stages": "stage", "domains": "domain"}.get(parts[0]) if depth == 1 else None
        if named and part not in node and not (last and isinstance(value, dict)):
            return f"no {named} {part!r}{near(part, node)}"
        if last:
            place = parts[2:] if parts[0] == "domains" else parts
            for other in _EXCLUSIVE.get(tuple(place), ()) if value is not None else ():
                node.pop(other, None)
            node[key] = value
            return ""
        if isinstance(node, dict) and node.get(key) is None:
            if depth == 0 and key not in Recipe.model_fields:
                return f"unknown key {part!r}{near(part, Recipe.model_fields)}"
            node[key] = {}
        node = node[key]
    return ""


# what the schema cannot say


def _say_kinds(raw: dict[str, Any]) -> list[Problem]:
    """Write each stage's kind into it where its name says it; an empty stage takes all defaults."""
    stages = raw.get("stages")
    problems = []
    if isinstance(stages, dict):
        for name, stage in list(stages.items()):
            if stage is None:
                stages[name] = stage = {}
            if isinstance(stage, dict) and "stage" not in stage:
                if name in KINDS:
                    stages[name] = {"stage": name, **stage}
                else:
                    allowed = near(str(name), KINDS)
                    message = f"its name is no kind of stage, so it needs a key stage{allowed}"
                    problems.append(Problem(f"stages.{name}", message))
                    # Any kind lets the rest of the recipe be checked; this one's keys cannot be.
                    stages[name] = {"stage": "evaluate", "of": ["base"]}
    return problems


def _format(raw: dict[str, Any]) -> list[Problem]:
    value = raw.get("honewise")
    if value == FORMAT and not isinstance(value, bool):
        return []
    said = "is missing" if value is None else f"is {given(value)}"
    raw["honewise"] = FORMAT
    return [Problem("honewise", f"the recipe format {said}; this version reads: honewise: {FORMAT}")]


def place_paths(raw: dict[str, Any], folder: Path | None) -> list[Problem]:
    """Make paths absolute where they stand beside the recipe or in the working directory."""
    problems: list[Problem] = []
    folders = [folder] if folder else []
    folders += [here for here in (Path.cwd(),) if here not in folders]

    def find(text: str) -> Path | None:
        return next((found for base in folders if (found := base / Path(text).expanduser()).exists()), None)

    for spot in stage_places(raw):
        text = _text_at(spot.node, spot.key)
        if text is None or text in spot.names:
            continue
        found = find(text)
        if found is not None:
            spot.node[spot.key] = str(found.resolve())
        elif not (spot.hub and _MODEL_ID.fullmatch(text)):
            listed = near(text, spot.names) if spot.names else f" (looked in {' and '.join(map(str, folders))})"
            problems.append(Problem(spot.path, f"no such {spot.what}: {text!r}{listed}"))

    def place(node: Any, key: str, path: str, tail: str = "") -> None:
        text = node.get(key) if isinstance(node, dict) else None
        if not isinstance(text, str):
            return
        file, colon, function = text.partition(":") if tail else (text, "", "")
        found = find(file)
        if found is not None:
            node[key] = f"{found.resolve()}{colon}{function}"
        elif path == "policy.path" or path.endswith(".local.path") or tail or not _HUB_ID.fullmatch(text):
            looked = " and ".join(str(base) for base in folders)
            problems.append(Problem(path, f"no such file or folder: {file!r} (looked in {looked})"))

    for _, at, work in works_of(raw):
        data: Any = work.get("data") if isinstance(work.get("data"), dict) else {}
        for part in ("train", "held_out"):
            spec = data.get(part)
            place(spec, "path", f"{at}data.{part}.path")
            if isinstance(spec, dict) and spec.get("path") is None and spec.get("samples") is None:
                spec["samples"] = part.replace("_", "-")  # the section's own name
        rubric = work.get("rubric")
        rewards = rubric.get("rewards") if isinstance(rubric, dict) else None
        for name, spec in rewards.items() if isinstance(rewards, dict) else ():
            place(spec, "fn", f"{at}rubric.rewards.{name}.fn", tail=":")
    place(raw.get("policy"), "path", "policy.path")
    for path, local in _local_judges(raw.get("judge")):
        place(local, "path", path)
    return problems


def _local_judges(judge: Any) -> Iterator[tuple[str, Any]]:
    """Where the section ``judge`` describes local models, by itself or in its panel."""
    if not isinstance(judge, dict):
        return
    yield "judge.local.path", judge.get("local")
    panel = judge.get("panel")
    for name, member in panel.items() if isinstance(panel, dict) else ():
        yield f"judge.panel.{name}.local.path", member.get("local") if isinstance(member, dict) else None


def _text_at(node: Any, key: Any) -> str | None:
    """The text that a mapping or a list holds there."""
    value = node.get(key) if isinstance(node, dict) else node[key] if isinstance(node, list) else None
    return value if isinstance(value, str) else None
