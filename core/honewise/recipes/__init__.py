"""Recipes: what a run is made of, as YAML read into pydantic models, with every problem shown at once."""
