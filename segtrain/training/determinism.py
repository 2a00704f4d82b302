"""The same bits every time."""

import tensorflow as tf

# Sums are divided among the threads, so their number decides how they are rounded. It is not the machine's number of
# cores, so that a run can go on on another machine.
NUM_THREADS = 2


def make_deterministic() -> None:
    """Has TensorFlow compute the same bits every time, in this process from now on.

    Raises:
        ValueError: TensorFlow has been used already with another number of threads.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(NUM_THREADS)
        tf.config.threading.set_inter_op_parallelism_threads(NUM_THREADS)
    except RuntimeError as error:
        raise ValueError(
            "trainer.deterministic=true fixes TensorFlow's number of threads, and TensorFlow runs already in this "
            "process. In a sweep, set it for all jobs or for none."
        ) from error
    tf.config.experimental.enable_op_determinism()
