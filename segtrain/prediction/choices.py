"""What may be chosen of a prediction, for settings: imports no TensorFlow."""

from typing import Literal

TtaChoice = Literal["flip", "scales"]
FormatChoice = Literal["palette", "overlay", "ids", "probabilities"]
