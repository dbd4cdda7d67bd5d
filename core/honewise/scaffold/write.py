"""From templates to files: all of them, or none."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from honewise import __version__
from honewise.errors import UserError
from honewise.host import PluginHost, get_host

from .names import domain_name, reward_name

__all__ = ["Created", "new_domain", "new_reward"]

_SUFFIX = ".tmpl"
_MARK = re.compile(r"@@(\w+)@@")


@dataclass(frozen=True, slots=True)
class Created:
    """What was written."""

    files: tuple[Path, ...]
    next: tuple[str, ...]
    """Commands to run, or edits to make, next."""


def new_domain(name: str, into: Path | None = None, *, host: PluginHost | None = None) -> Created:
    """Write the plugin of a new domain to ``into/name`` (``into``: the working directory).

    Raises ``UserError`` where the name will not do, the folder exists or cannot be written.
    """
    name = domain_name(name, host or get_host())
    into = _folder(into)
    target = into / name
    if target.exists():
        raise UserError(f"{target} exists already; nothing was written")
    values = {
        "name": name,
        "module": f"honewise_{name.replace('-', '_')}",
        "distribution": f"honewise-{name}",
        "range": _range(),
    }
    try:
        staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=into))
        staging.chmod(0o777 & ~_umask())
        try:
            for path, text in _rendered("domain", values):
                (staging / path).parent.mkdir(parents=True, exist_ok=True)
                (staging / path).write_text(text, encoding="utf-8")
            files = tuple(target / file.relative_to(staging) for file in sorted(staging.rglob("*")) if file.is_file())
            os.rename(staging, target)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}") from error
    shown = _shown(target)
    listed = into / "requirements-dev.txt"  # the plugins of one repository are installed together
    steps = (f"add to {listed}:  -e ./{into.resolve().name}/{name}",) if listed.is_file() else ()
    return Created(files, (*steps, f'pip install -e "{shown}[test]"', f"honewise doctor {name}", f'pytest "{shown}"'))


def new_reward(
    name: str, into: Path | None = None, *, domain: str = "arithmetic", host: PluginHost | None = None
) -> Created:
    """Write a reward and its test to ``into`` (the working directory): beside a recipe, or into a plugin's package.

    Where ``into`` is the folder of a plugin (its ``pyproject.toml`` has an entry point of honewise), the reward
    becomes a module of its package and is tested on its domain; elsewhere on ``domain``.

    Raises ``UserError`` where the name will not do or is taken, there is no such domain, a file exists or cannot be
    written.
    """
    into = _folder(into)
    plugin = _plugin(into)
    name = reward_name(name, alone=plugin is None)
    _refuse_taken(name, host or get_host(), domain if plugin is None else plugin[0], installed=plugin is None)
    if plugin is None:
        code, test, module = into / f"{name}.py", into / f"test_{name}.py", name
        steps: tuple[str, ...] = (
            f'pytest "{_shown(test)}"',
            f"in a recipe:  rubric: {{rewards: {{{name}: {{fn: {code.name}:{name}, weight: 0.1}}}}}}",
        )
    else:
        domain, package, folder = plugin
        code, test, module = folder / f"{name}.py", into / "tests" / f"test_{name}.py", f"{package}.{name}"
        steps = (
            f"where the Domain is built:  from .{name} import {name}",
            f"and:  Domain(rewards=[..., {name}], rubrics={{...: Rubric({{..., {name!r}: 0.1}})}})",
            f"honewise doctor {domain}",
            f'pytest "{_shown(test)}"',
        )
    values = {"name": name, "import": module, "domain": domain}
    texts = dict(_rendered("reward", values))
    _write_new({code: texts[Path("reward.py")], test: texts[Path("test_reward.py")]})
    return Created((code, test), steps)


def _refuse_taken(name: str, host: PluginHost, domain: str, *, installed: bool) -> None:
    """Raise ``UserError`` where the domain or core has a reward of that name: no rubric could hold both.

    ``installed``: the domain must be; a plugin that is being written need not be yet.
    """
    try:
        own = [reward.name for reward in host.domain(domain).rewards]
    except UserError:
        if installed:
            raise
        own = []
    if name in own:
        raise UserError(f"domain {domain!r} has a reward {name!r} already; choose another name")
    try:
        host.reward(name)
    except UserError:
        return
    raise UserError(f"{name!r} is a reward of honewise's own, for any domain; choose another name")


def _folder(into: Path | None) -> Path:
    into = Path() if into is None else into
    if not into.is_dir():
        raise UserError(f"{into} is no folder; make it first, or name another with --into")
    return into


def _write_new(files: Mapping[Path, str]) -> None:
    for path in files:
        if path.exists():
            raise UserError(f"{path} exists already; nothing was written")
    written: list[Path] = []
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                written.append(path)
                file.write(text)
    except OSError as error:
        for path in written:
            path.unlink(missing_ok=True)
        raise UserError(f"{error.filename or 'a file'} cannot be written: {error.strerror or error}") from error


def _plugin(folder: Path) -> tuple[str, str, Path] | None:
    """(domain, package, folder of the package) of the plugin whose root ``folder`` is."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'pyproject.toml'} cannot be read: {error}") from error
    entry_points = project.get("project", {}).get("entry-points", {}).get("honewise", {})
    for domain, value in entry_points.items():
        package = str(value).partition(":")[0].strip()
        for root in (folder / "src", folder):
            place = root.joinpath(*package.split("."))
            if (place / "__init__.py").is_file():
                return str(domain), package, place
    return None


def _rendered(kind: str, values: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """Each template of ``kind``: where it goes, and its text."""
    root = resources.files(__package__).joinpath("templates", kind)
    for path, file in _walk(root, Path()):
        name = _fill(str(path), values)
        yield Path(name.removesuffix(_SUFFIX)), _fill(file.read_text(encoding="utf-8"), values)


def _walk(folder: Traversable, path: Path) -> Iterator[tuple[Path, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name, entry


def _fill(text: str, values: Mapping[str, str]) -> str:
    # Marks of their own: the templates hold {{placeholders}} that must survive.
    return _MARK.sub(lambda match: values[match[1]], text)


def _range() -> str:
    """Versions with the same plugin hooks: this minor release."""
    major, minor = __version__.split(".")[:2]
    return f">={major}.{minor},<{major}.{int(minor) + 1}"


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def _shown(path: Path) -> str:
    """As a command wants it: with a leading './' where pip would take it for a package's name."""
    return str(path) if path.is_absolute() else f"./{path.as_posix()}"
