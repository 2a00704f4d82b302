"""Comparing runs: which settings vary, what each is worth, and which differences can be told from chance."""
