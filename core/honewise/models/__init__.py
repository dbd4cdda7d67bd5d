"""Policies: loading and saving, tiny ones of our own, sampling. Needs torch and transformers."""
