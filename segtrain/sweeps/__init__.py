"""Sweeps: their jobs, each in a process of its own, stopped at a failure, gone on with; and searches."""
