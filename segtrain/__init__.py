"""Train semantic-segmentation models from a config."""

import os

__version__ = "0.1.0"

# albumentations asks the package index for a newer release whenever it is imported. A run neither needs
# that nor should wait for it, and only a value set before the import is honoured.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# TensorFlow's start-up notices (CPU features, missing CUDA) would be the first lines a user sees. Errors stay.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
