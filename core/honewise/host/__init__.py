"""Finds plugins by their entry points, imports them when they are asked for, and keeps what they register."""

from __future__ import annotations

from .plugin_host import DomainFactory, PluginHost, get_host, reset_host
from .records import GROUP, PluginRecord, State

__all__ = ["GROUP", "DomainFactory", "PluginHost", "PluginRecord", "State", "get_host", "reset_host"]
