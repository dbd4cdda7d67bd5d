"""Reading a recipe for a run: the file or the packaged one, checked against the plugins and trainers at hand.

``honewise.recipes`` knows the shapes; this module adds what only the host and the engine know, so that all problems
of a recipe are told at once.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from honewise.contracts import Domain, JudgeTemplate, Verdict
from honewise.data import readers_of
from honewise.errors import HonewiseError, Problem, RecipeError, UnknownName, UserError, near
from honewise.host import PluginHost, get_host
from honewise.recipes.checks import stage_kinds
from honewise.recipes.load import load_recipe
from honewise.recipes.policy_gradient import with_estimator
from honewise.recipes.schema import PartRubricSpec, PartSpec, Recipe, RubricSpec
from honewise.recipes.sections import works_of
from honewise.scoring.gates import Gate
from honewise.scoring.pairs import BY_TOTAL

from .model_rewards import model_rewards
from .rubric import make_scorer
from .rubric_problems import RubricProblems

__all__ = ["packaged_recipe", "packaged_recipes", "read"]


def read(source: str | Path, overrides: Sequence[str] = (), *, host: PluginHost | None = None) -> Recipe:
    """The recipe at a path, or the packaged one called ``domain/name``; raises ``RecipeError`` with every problem.

    A file of that name goes before a packaged recipe.
    """
    host = host or get_host()
    checks = (_Names(host).check, _trainers)
    if not Path(source).exists():
        _refuse_domain(str(source), host)
    if Path(source).exists() or "/" not in str(source) or str(source).endswith((".yaml", ".yml")):
        return load_recipe(source, overrides, checks=checks)
    return load_recipe(source, overrides, text=packaged_recipe(str(source), host=host), checks=checks)


def _refuse_domain(name: str, host: PluginHost) -> None:
    """Raise ``RecipeError`` with its recipes where a domain is named in the place of one of them."""
    try:
        found = packaged_recipes(name, host=host)
    except UserError:
        return
    listed = ", ".join(f"{name}/{recipe}" for recipe in found)
    having = f"has these: {listed}" if found else "ships none"
    raise RecipeError(name, [Problem("", f"is a domain, and a recipe is needed; the domain {having}")])


def packaged_recipes(domain: str, *, host: PluginHost | None = None) -> dict[str, str]:
    """Name to text of the recipes that ship with a domain's plugin and use that domain, sorted."""
    folder = resources.files((host or get_host()).package_of(domain)).joinpath("recipes")
    if not folder.is_dir():
        return {}
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return {file.name.removesuffix(".yaml"): file.read_text("utf-8") for file in files}


def packaged_recipe(name: str, *, host: PluginHost | None = None) -> str:
    """The text of the recipe ``domain/name``."""
    domain, _, recipe = name.rpartition("/")
    try:
        found = packaged_recipes(domain, host=host)
    except UnknownName as error:
        problem = f"no such file, and no domain {domain!r} with recipes{near(domain, error.allowed)}"
        raise RecipeError(name, [Problem("", problem)]) from None
    if recipe not in found:
        raise RecipeError(name, [Problem("", f"domain {domain!r} has no recipe {recipe!r}{near(recipe, found)}")])
    return found[recipe]


TRAINERS: Mapping[str, Literal["sft", "grpo", "dpo", "reward"]] = {
    "sft": "sft",
    "dpo": "dpo",
    "reward-model": "reward",
    "rl": "grpo",
}
"""Kind of stage to the TRL trainer behind it."""


@dataclass(frozen=True, slots=True)
class _Names:
    """Checks the names that plugins register. Works on the recipe as read, whatever else is wrong with it."""

    host: PluginHost

    def check(self, raw: Mapping[str, Any]) -> Iterator[Problem]:
        yield from self._plugins(raw.get("plugins"))
        there: dict[str, Mapping[str, Any]] | None = {}
        for name, at, work in works_of(raw):
            spec, path = (work, at[:-1]) if name else (raw.get("domain"), "domain")
            domain = yield from self._domain(spec, path)
            if domain is None:
                there = None
                continue
            yield from self._formats(_mapping(work, "data"), domain, at, {} if name else _mapping(raw, "stages"))
            judged = isinstance(raw.get("judge"), Mapping)
            yield from self._rubric(_mapping(work, "rubric"), domain, at, judged=judged)
            if there is not None:
                there |= _in_rubric(_mapping(work, "rubric"), domain, f"{name}/" if name else "")
        if there is not None:
            yield from _compared(raw, there)
        stages = _mapping(raw, "stages")
        for name, kind in stage_kinds(stages).items():
            if kind == "rl":
                yield from self._estimator(stages[name], f"stages.{name}")

    def _plugins(self, wanted: Any) -> Iterator[Problem]:
        for index, line in enumerate(wanted if isinstance(wanted, list) else []):
            if isinstance(line, str):
                yield from _told(f"plugins.{index}", partial(self.host.require, [line]))

    def _domain(self, spec: Any, path: str) -> Generator[Problem, None, Domain | None]:
        """Yields problems; returns the domain where it can be built."""
        if not isinstance(spec, Mapping) or not isinstance(spec.get("use"), str):
            return None
        own = {"use"} if path == "domain" else set(PartSpec.model_fields)
        options = {key: value for key, value in spec.items() if key not in own}
        try:
            self.host.domain_factory(spec["use"])
        except UserError as error:
            yield Problem(f"{path}.use", str(error))
            return None
        try:
            return self.host.domain(spec["use"], **options)
        except UserError as error:
            for line in str(error).splitlines():
                named = re.search(r"option '(\w+)'", line)
                yield Problem(f"{path}.{named[1]}" if named else path, line)
        try:  # with the options left out, the names that it registers can still be checked
            return self.host.domain(spec["use"])
        except HonewiseError:
            return None

    def _formats(
        self, data: Mapping[str, Any], domain: Domain, at: str, stages: Mapping[str, Any]
    ) -> Iterator[Problem]:
        extra = {name: self.host.formats.get(name) for name in self.host.formats}
        known = readers_of(domain, extra)
        said = {f"{at}data.{part}.format": _mapping(data, part).get("format") for part in ("train", "held_out")}
        writing = [name for name, kind in stage_kinds(stages).items() if kind == "personas"]
        rows = {f"stages.{name}.format": stages[name].get("format") for name in writing}
        for path, name in {**said, **rows}.items():
            if isinstance(name, str) and name not in known:
                yield Problem(path, f"no format {name!r}{near(name, known)}")
            elif isinstance(name, str) and path in rows and known[name].rows is None:
                able = [each for each, reader in known.items() if reader.rows is not None]
                yield Problem(path, f"{name!r} reads files, not single rows; formats that do: {', '.join(able)}")

    def _rubric(self, rubric: Mapping[str, Any], domain: Domain, at: str, *, judged: bool) -> Iterator[Problem]:
        preset = rubric.get("preset")
        if isinstance(preset, str) and preset not in domain.rubrics:
            yield Problem(f"{at}rubric.preset", f"no preset {preset!r}{near(preset, domain.rubrics)}")
            preset = None
        chosen = preset if isinstance(preset, str) else next(iter(domain.rubrics))
        terms = domain.rubrics[chosen].terms
        known = {reward.name for reward in domain.rewards} | set(terms)
        rewards = _mapping(rubric, "rewards")
        told = [problem for name, spec in rewards.items() for problem in self._reward(str(name), spec, known, at)]
        told += RubricProblems(rewards, terms, domain, self.host, f"{at}rubric.rewards", judged)
        yield from told
        dropped = {name for name, spec in rewards.items() if spec is None}
        correct = rubric.get("correct")
        usable = (set(terms) | set(rewards)) - dropped
        if isinstance(correct, str) and correct not in usable:
            told.append(Problem(f"{at}rubric.correct", ""))
            yield Problem(f"{at}rubric.correct", f"no reward {correct!r} in the rubric{near(correct, usable)}")
        if not told:
            yield from self._applied(rubric, domain, at, judged=judged)

    def _reward(self, name: str, spec: Any, known: set[str], at: str) -> Iterator[Problem]:
        path = f"{at}rubric.rewards.{name}"
        for key in ("fn", "model"):
            if isinstance(spec, Mapping) and spec.get(key) is not None:
                if name in known:
                    yield Problem(f"{path}.{key}", f"{name!r} is the domain's own reward; give yours another name")
                return
        if name not in known:
            try:
                self.host.reward(name)
            except UserError:
                yield Problem(path, f"no reward {name!r}{near(name, {*known, *self.host.rewards})}")
        template = _mapping(spec, "options").get("template")
        if name == "judged" and isinstance(template, str):
            yield from _told(f"{path}.options.template", partial(self.host.judge, template))

    def _applied(self, rubric: Mapping[str, Any], domain: Domain, at: str, *, judged: bool) -> Iterator[Problem]:
        """What the rubric as a whole refuses: gates on dropped rewards, rings of gates, missing options."""
        try:
            spec = (PartRubricSpec if at else RubricSpec).model_validate(dict(rubric))
        except ValidationError:
            return  # the schema tells these
        judge = _nobody if judged else None
        models = {name: model.reward for name, model in model_rewards(spec.rewards, {}).items()}
        yield from _told(
            f"{at}rubric", lambda: make_scorer(domain, {}, spec, host=self.host, judge=judge, models=models).close()
        )

    def _estimator(self, stage: Mapping[str, Any], path: str) -> Iterator[Problem]:
        name, options = with_estimator(stage)["estimator"], stage.get("estimator_options")
        if not isinstance(name, str):
            return
        try:
            estimator = self.host.estimator(name)
        except UnknownName as error:
            yield Problem(f"{path}.estimator", f"no estimator {name!r}{near(name, error.allowed)}")
        except UserError as error:
            yield Problem(f"{path}.estimator", str(error))
        else:
            if isinstance(options, Mapping) and options and importlib.util.find_spec("torch") is not None:
                yield from _told(f"{path}.estimator_options", partial(estimator.check, options))


def _in_rubric(rubric: Mapping[str, Any], domain: Domain, prefix: str) -> dict[str, Mapping[str, Any]]:
    """Every reward that a rubric as read has, with what the recipe says of it."""
    preset, changes = rubric.get("preset"), _mapping(rubric, "rewards")
    chosen = preset if isinstance(preset, str) and preset in domain.rubrics else next(iter(domain.rubrics))
    names = {*domain.rubrics[chosen].terms, *changes} - {name for name, spec in changes.items() if spec is None}
    return {f"{prefix}{name}": _mapping(changes, name) for name in names}


def _compared(raw: Mapping[str, Any], there: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Rewards that stages name to compare completions by: they must be in the rubric, and a model trained before.

    ``there`` are those of all domains.
    """
    stages = _mapping(raw, "stages")
    kinds = stage_kinds(stages)
    for name, kind in kinds.items():
        places = [(stages[name], f"stages.{name}")] if kind == "pairs" else []
        if kind == "dpo":
            places = [(_mapping(stages[name], "rounds"), f"stages.{name}.rounds")]
        controls = stages[name].get("controls") if kind == "evaluate" else None
        for index, control in enumerate(controls if isinstance(controls, list) else []):
            places.append((control, f"stages.{name}.controls.{index}"))
        order = list(stages)
        later = {reward for reward, spec in there.items() if spec.get("model") in order[order.index(name) :]}
        elsewhere = {
            reward for reward, spec in there.items()
            if isinstance(spec.get("stages"), list) and name not in spec["stages"]
        }  # fmt: skip
        for node, path in places:
            if isinstance(node, Mapping):
                yield from _named_rewards(node, path, set(there), later, elsewhere)


def _named_rewards(
    node: Mapping[str, Any], path: str, there: set[str], later: set[str], elsewhere: set[str]
) -> Iterator[Problem]:
    by, safe = node.get("by"), node.get("safe")
    wanted = {"by": by if by != BY_TOTAL else None, "safe": None}
    if isinstance(safe, str):
        try:
            wanted["safe"] = Gate.of("safe", safe).other
        except UserError as error:
            yield Problem(f"{path}.safe", str(error))
    for key, reward in wanted.items():
        if isinstance(reward, str) and reward not in there:
            allowed = {*there, BY_TOTAL} if key == "by" else there
            yield Problem(f"{path}.{key}", f"no reward {reward!r} in the rubric{near(reward, allowed)}")
        elif reward in later:
            yield Problem(f"{path}.{key}", f"the model of {reward!r} is trained later")
        elif reward in elsewhere:
            yield Problem(f"{path}.{key}", f"{reward!r} is for other stages (its stages in rubric.rewards)")


async def _nobody(template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str | Sequence[str]) -> Verdict:
    """Stands for the judge that the recipe describes, whose own faults are told elsewhere."""
    raise AssertionError(f"asked {template.file} with {sorted(slots)} and {len(images)} pictures")


def _trainers(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Arguments of TRL's trainers, where TRL is installed to say what it takes."""
    stages = _mapping(raw, "stages")
    kinds = stage_kinds(stages)
    given = {name: stages[name].get("trainer") for name in kinds if kinds[name] in TRAINERS}
    given = {name: arguments for name, arguments in given.items() if isinstance(arguments, Mapping) and arguments}
    if (not given and "dpo" not in kinds.values()) or importlib.util.find_spec("trl") is None:
        return
    from honewise.engine.arguments import check, check_losses

    for name in (name for name, kind in kinds.items() if kind == "dpo"):
        stage = stages[name]
        for problem in check_losses(stage.get("losses"), stage.get("divergence"), stage.get("label_smoothing")):
            yield Problem(f"stages.{name}.{problem.path}", problem.message)
    for name, arguments in given.items():
        for problem in check(TRAINERS[kinds[name]], arguments):
            path = f"stages.{name}.trainer"
            yield Problem(f"{path}.{problem.path}" if problem.path else path, problem.message)


def _mapping(raw: Any, key: str) -> Mapping[str, Any]:
    value = raw.get(key) if isinstance(raw, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def _told(path: str, try_it: Callable[[], object]) -> Iterator[Problem]:
    try:
        try_it()
    except UserError as error:
        yield Problem(path, str(error))
