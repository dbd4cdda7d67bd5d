"""New plugins and rewards from templates that pass their own contract tests as generated."""

from .write import Created, new_domain, new_reward

__all__ = ["Created", "new_domain", "new_reward"]
