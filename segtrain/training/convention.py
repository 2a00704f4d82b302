"""The conventions that tools differ in when they make one number of a confusion matrix; see `scores`."""

from typing import Literal

# Here, since the settings name it too, and nothing heavier than this may load with them.
MetricConvention = Literal["segtrain", "absent_as_one", "absent_as_zero", "per_image"]
