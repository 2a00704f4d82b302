"""Going back to a state that was good, with half the learning rate."""

from pathlib import Path

import keras


class RollbackError(FloatingPointError):
    """The loss is no number any more; the loop is to go on from a state that was saved before.

    Attributes:
        state: its file.
    """

    def __init__(self, message: str, state: Path):
        super().__init__(message)
        self.state = state


class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Another schedule's learning rate times a factor.

    Args:
        schedule: the other schedule.
        factor: the factor.
    """

    def __init__(self, schedule: keras.optimizers.schedules.LearningRateSchedule, factor: float):
        self.schedule = schedule
        self.factor = factor

    def __call__(self, step):
        return self.schedule(step) * self.factor


def halve_learning_rate(optimizer: keras.optimizers.Optimizer, times: int, *, counted: int) -> float:
    """Sets the learning rate to what it is after so many halvings. A compiled step has to be compiled again.

    Args:
        optimizer: of a constant rate, which is one of its variables, or of a schedule.
        times: halvings of the run.
        counted: those that its variables have had already.

    Returns:
        The learning rate.
    """
    rate = getattr(optimizer, "inner_optimizer", optimizer)._learning_rate  # its property gives a schedule's number
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        schedule = rate.schedule if isinstance(rate, ScaledSchedule) else rate
        optimizer.learning_rate = ScaledSchedule(schedule, 0.5**times) if times else schedule
    else:
        optimizer.learning_rate = keras.ops.convert_to_numpy(rate) * 0.5 ** (times - counted)
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))
