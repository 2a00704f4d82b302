"""Keras callbacks, one per file. Epochs are counted from 1 in everything they write."""
