"""Decode, cache, augment, batch, prefetch."""
