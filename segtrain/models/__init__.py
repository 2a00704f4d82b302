"""Architectures, one per file. Each `build_<name>` returns a `keras.Model` from images to logits."""
