"""No network, no home, no leaks: see ``support/isolation.py``."""

from isolation import a_folder_of_its_own, no_leaked_variables

__all__ = ["a_folder_of_its_own", "no_leaked_variables"]
