"""Train semantic-segmentation models from a config."""

import os

__version__ = "0.1.0"

# albumentations asks the package index for a newer release whenever it is imported. A run neither needs
# that nor should wait for it, and only a value set before the import is honoured.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# TensorFlow's start-up notices (CPU features, missing CUDA) would be the first lines a user sees. Errors stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Without it TensorFlow takes all of a GPU's memory when it starts, and two jobs of a sweep do not fit on one.
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
# TensorFlow turns its oneDNN kernels on by itself on some processors only. Where it does not, a training step takes a
# quarter longer without them. TF_ENABLE_ONEDNN_OPTS=0 in the environment leaves them off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
