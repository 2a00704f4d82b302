"""Encoders, one per file. Each `build_<name>` returns an `Encoder`: feature maps, their strides and their widths."""
