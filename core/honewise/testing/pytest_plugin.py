"""Helpers for the tests of plugin authors, loaded lazily."""
