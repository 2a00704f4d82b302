"""Datasets, one per file. Each `build_<name>` returns a `SegmentationDataset`. Nothing here imports TensorFlow."""
