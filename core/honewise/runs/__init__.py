"""Runs: the folder, the store, the manifest and the card of one run, and how it is resumed."""
