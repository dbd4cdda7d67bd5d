"""Metadata to records: which plugins are installed, and which of them may be imported. Imports none of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .records import CORE, GROUP, PluginRecord

__all__ = ["ALLOW", "DISABLE", "STRICT", "TRACE", "discover", "installed_entry_points"]

ALLOW = "HONEWISE_PLUGINS"
"""Unset: all. Empty: none but core's own. ``a,b``: these; a name that is not installed is reported."""
DISABLE = "HONEWISE_DISABLE_PLUGINS"
"""``a,b``: never these. Like the allow list, it takes names of entry points and of distributions."""
STRICT = "HONEWISE_STRICT_PLUGINS"
"""``1``: a plugin that is broken or incompatible stops the program when it is loaded."""
TRACE = "HONEWISE_TRACE_PLUGINS"
"""``1``: every hook call and everything registered is written to standard error."""


def discover(
    entry_points: Iterable[metadata.EntryPoint], environ: Mapping[str, str], version: str
) -> dict[str, PluginRecord]:
    """One record for each entry point, by name, sorted; core's own come first.

    Where several distributions claim one name, the owner by convention (``honewise``, or ``honewise-<name>``) keeps
    it; every other claim stands under ``name@distribution``, broken, with both owners in its reason.
    """
    records = [_record(entry_point) for entry_point in entry_points]
    unique = {(r.name, r.distribution, r.package): r for r in records}
    records = sorted(unique.values(), key=lambda r: (not r.core, r.name, r.distribution))
    _block(records, environ)
    _refuse_shared_names(records)
    for record in records:
        if record.state == "found" and (needs := _needs_other(record, version)):
            record.state, record.reason = "incompatible", needs
    return _keyed(records) | _absent(records, environ)


def installed_entry_points() -> list[metadata.EntryPoint]:
    """Every entry point of the group; a distribution whose metadata cannot be read becomes one that cannot load."""
    try:
        return list(metadata.entry_points(group=GROUP))
    except Exception:  # one unreadable file must not hide all plugins
        return _one_by_one()


def _one_by_one() -> list[metadata.EntryPoint]:
    found: list[metadata.EntryPoint] = []
    seen: set[str] = set()
    for distribution in metadata.distributions():
        try:
            name = canonicalize_name(distribution.metadata["Name"])
        except Exception:  # without a name there is nothing to report it under
            continue
        if name in seen:
            continue
        seen.add(name)
        try:
            found += [e for e in distribution.entry_points if e.group == GROUP]
        except Exception:
            if _mentions_group(distribution):
                # An entry point without a value: its record says that the metadata is unreadable.
                found.append(metadata.EntryPoint(name, "", GROUP))
    return found


def _mentions_group(distribution: metadata.Distribution) -> bool:
    text = distribution.read_text("entry_points.txt") or ""
    return re.search(rf"^\s*\[\s*{GROUP}\s*\]", text, re.MULTILINE) is not None


def _record(entry_point: metadata.EntryPoint) -> PluginRecord:
    record = PluginRecord(entry_point.name, entry_point=entry_point)
    distribution = entry_point.dist
    try:
        if distribution is not None:
            record.distribution = canonicalize_name(distribution.metadata["Name"])
            record.version = distribution.version or ""
        record.package = entry_point.module
    except Exception:
        record.state, record.reason = "broken", "its entry point or metadata cannot be read; install it again"
    return record


def _names(environ: Mapping[str, str], variable: str) -> list[str] | None:
    if variable not in environ:
        return None
    return [name.strip() for name in environ[variable].split(",") if name.strip()]


def _listed(record: PluginRecord, names: Sequence[str]) -> bool:
    return record.name in names or bool(
        record.distribution and record.distribution in {canonicalize_name(name) for name in names}
    )


def _block(records: Sequence[PluginRecord], environ: Mapping[str, str]) -> None:
    allowed, disabled = _names(environ, ALLOW), _names(environ, DISABLE) or []
    for record in records:
        if _listed(record, disabled):
            record.state, record.reason = "blocked", f"named in {DISABLE}"
        elif allowed is not None and not record.core and not _listed(record, allowed):
            record.state, record.reason = "blocked", f"not named in {ALLOW}"


def _refuse_shared_names(records: Sequence[PluginRecord]) -> None:
    claims: dict[str, list[PluginRecord]] = {}
    for record in records:
        if record.state != "blocked":
            claims.setdefault(record.name, []).append(record)
    for name, claimants in claims.items():
        if len(claimants) == 1:
            continue
        owner = _rightful(name, claimants)
        for record in claimants:
            if record is owner:
                continue
            others = " and ".join(sorted({other.owner for other in claimants if other is not record}))
            record.state = "broken"
            record.reason = (
                f"{record.owner} claims the name {name!r}, which {others} claims too; "
                f"uninstall one of them, or name its distribution in {DISABLE}"
            )


def _rightful(name: str, claimants: Sequence[PluginRecord]) -> PluginRecord | None:
    """Core's own, else the only claim by the distribution that is called after the name, else nobody."""
    for distribution in (CORE, canonicalize_name(f"{CORE}-{name}")):
        claims = [record for record in claimants if record.distribution == distribution]
        if claims:
            return claims[0] if len(claims) == 1 else None
    return None


def _needs_other(record: PluginRecord, version: str) -> str:
    """Why this honewise does not suit the plugin; empty where it does, or where the plugin does not say."""
    distribution = record.entry_point.dist
    wanted: list[str] = []
    for line in (distribution.requires or []) if distribution is not None and not record.core else []:
        try:
            requirement = Requirement(line)
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        except ValueError:  # not a requirement that pip would have understood: nothing to compare
            continue
        ours = canonicalize_name(requirement.name) == CORE
        if ours and applies and not requirement.specifier.contains(version, prereleases=True):
            wanted.append(str(requirement.specifier))
    return f"needs honewise{' and '.join(wanted)}, this is {version}" if wanted else ""


def _keyed(records: Sequence[PluginRecord]) -> dict[str, PluginRecord]:
    """By entry point's name; where several claim one, all but the one that may use it are ``name@distribution``."""
    keyed: dict[str, PluginRecord] = {}
    for record in records:
        alone = sum(other.name == record.name for other in records) == 1
        stem = (
            record.name
            if alone or record.state in ("found", "incompatible")
            else f"{record.name}@{record.distribution}"
        )
        key, count = stem, 1
        while key in keyed:
            count += 1
            key = f"{stem}#{count}"
        keyed[key] = record
    return keyed


def _absent(records: Sequence[PluginRecord], environ: Mapping[str, str]) -> dict[str, PluginRecord]:
    return {
        name: PluginRecord(name, state="broken", reason=f"named in {ALLOW}, but not installed")
        for name in _names(environ, ALLOW) or []
        if not any(_listed(record, [name]) for record in records)
    }
