"""BatchNorm through the fused kernel, against Keras' own layer of the same weights and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.layers import FusedBatchNormalization
from segtrain.training.replicas import choose_strategy

SHAPES = {"maps": (4, 9, 7, 5), "few pixels": (2, 1, 1, 3), "one pixel": (1, 1, 1, 2)}
# The policies that a trainer sets, and what numbers of size one may differ by in them.
EPSILONS = {"float32": 1e-5, "mixed_bfloat16": 2.0**-8, "mixed_float16": 2.0**-11}
MOMENTUM = 0.9
KERNEL = "FusedBatchNormV3"


def twins(shape, **options):
    """Returns Keras' layer and ours, of the same weights, none of which is at its initial value."""
    layers = [
        kind(**{"momentum": MOMENTUM} | options) for kind in (keras.layers.BatchNormalization, FusedBatchNormalization)
    ]
    for layer in layers:
        layer.build(shape)
        for number, variable in enumerate(layer.weights):
            variable.assign(np.random.default_rng(number).uniform(0.5, 1.5, variable.shape))
    return layers


def normal(shape, seed=0, mean=1.0, deviation=3.0):
    return np.random.default_rng(seed).normal(mean, deviation, shape).astype(np.float32)


def step_of(layer, **call):
    """Returns `(images, upstream) -> [outputs, gradients of images and of the layer's weights]`."""

    def step(images, upstream):
        images = tf.convert_to_tensor(images)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, **call)
            objective = tf.reduce_sum(tf.cast(outputs, tf.float32) * upstream)
        return [outputs, *tape.gradient(objective, [images, *(variable.value for variable in layer.trainable_weights)])]

    return step


def compiled(function, way, shape):
    if way == "eager":
        return function
    if way == "unknown sizes":
        spec = tf.TensorSpec((None, None, None, shape[-1]))
        return tf.function(function, input_signature=[spec, spec])
    return tf.function(function, jit_compile=way == "xla")


def numpy_of(tensors):
    return [tf.cast(tensor, tf.float64).numpy() for tensor in tensors]


def assert_close(actual, expected, epsilon):
    """Within a rounding of the largest number: sums that nearly cancel have no digits of their own."""
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=epsilon * max(1.0, np.abs(expected).max()))


def operations_of(layer, images, **call):
    function = tf.function(lambda images: layer(images, **call)).get_concrete_function(tf.constant(images))
    return {operation.type for operation in function.graph.get_operations()}


@pytest.mark.parametrize("policy", EPSILONS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_several_steps_of_training_equal_keras(shape, policy):
    """Outputs, all gradients, and what is kept for inference."""
    theirs, ours = twins(shape, dtype=policy)
    for number in range(3):
        images, upstream = normal(shape, number), normal(shape, 10 + number)
        expected, actual = (step_of(layer, training=True)(images, upstream) for layer in (theirs, ours))
        assert len(expected) == len(actual) == 4
        assert [tensor.dtype for tensor in actual] == [tensor.dtype for tensor in expected]
        for one, other in zip(numpy_of(actual), numpy_of(expected), strict=True):
            assert_close(one, other, EPSILONS[policy])
        # The averages are float32 in every policy.
        for one, other in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
            assert one.dtype == "float32"
            assert_close(one.numpy(), other.numpy(), EPSILONS["float32"])


@pytest.mark.parametrize("policy", EPSILONS)
def test_computes_and_returns_what_the_policy_says(policy):
    layer = FusedBatchNormalization(dtype=policy)
    outputs = layer(normal(SHAPES["maps"]), training=True)
    assert outputs.dtype == keras.DTypePolicy(policy).compute_dtype
    assert {variable.dtype for variable in layer.weights} == {"float32"}


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 1, 1, 2), (2, 4, 3, 2)])
def test_running_averages_are_of_mean_and_biased_variance(shape):
    """Of two pixels the unbiased variance is twice as much."""
    _, layer = twins(shape)
    mean, variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    for seed in range(3):
        images = normal(shape, seed)
        layer(images, training=True)
        mean = MOMENTUM * mean + (1 - MOMENTUM) * images.mean(axis=(0, 1, 2))
        variance = MOMENTUM * variance + (1 - MOMENTUM) * images.var(axis=(0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)


@pytest.mark.parametrize("policy", EPSILONS)
@pytest.mark.parametrize("way", ["graph", "unknown sizes", "xla"])
def test_compiled_it_equals_keras_too(way, policy):
    shape = SHAPES["maps"]
    theirs, ours = twins(shape, dtype=policy)
    run = compiled(step_of(ours, training=True), way, shape)
    for number in range(2):
        images, upstream = normal(shape, number), normal(shape, 10 + number)
        expected = step_of(theirs, training=True)(images, upstream)
        for one, other in zip(numpy_of(run(images, upstream)), numpy_of(expected), strict=True):
            assert_close(one, other, 2 * EPSILONS[policy])
    for one, other in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
        assert_close(one.numpy(), other.numpy(), EPSILONS["float32"])


@pytest.mark.parametrize("mean", [30.0, 1000.0])
@pytest.mark.parametrize(
    "way",
    [
        "eager",
        "graph",
        "xla",
    ],
)
def test_maps_far_from_zero_keep_their_digits(way, mean):
    """A variance taken as mean of squares less square of mean has none left.

    How far XLA's sums are off depends on the processor: there Keras' own layer, compiled alike, says what can be had.
    """
    images = normal((4, 16, 16, 8), mean=mean, deviation=1.0)
    exact = images.astype(np.float64)
    expected = (exact - exact.mean(axis=(0, 1, 2))) / np.sqrt(exact.var(axis=(0, 1, 2)) + 1e-3)

    def error_of(layer):
        outputs = compiled(lambda images, _: layer(images, training=True), way, images.shape)(images, images)
        return np.abs(outputs.numpy() - expected).max()

    allowed = 1e-6 * mean
    if way == "xla":
        allowed = max(allowed, error_of(keras.layers.BatchNormalization()))
        assert allowed < 1e-5 * mean
    assert error_of(FusedBatchNormalization()) <= allowed


def test_the_kernel_is_what_trains():
    images = normal(SHAPES["maps"])
    theirs, ours = twins(images.shape)
    assert KERNEL in operations_of(ours, images, training=True)
    assert KERNEL not in operations_of(theirs, images, training=True)


@pytest.mark.parametrize("training", [False, None])
@pytest.mark.parametrize("policy", EPSILONS)
def test_inference_is_keras(policy, training):
    images = normal(SHAPES["maps"])
    theirs, ours = twins(images.shape, dtype=policy)
    assert KERNEL not in operations_of(ours, images, training=training)
    np.testing.assert_array_equal(*(numpy_of([layer(images, training=training)]) for layer in (ours, theirs)))
    # Not the batch's own statistics.
    assert abs(numpy_of([ours(images, training=training)])[0].mean()) > 0.1


def test_frozen_it_infers_in_training_too():
    images = normal(SHAPES["maps"])
    _, layer = twins(images.shape)
    layer.trainable = False
    before = [variable.numpy() for variable in layer.weights]
    assert KERNEL not in operations_of(layer, images, training=True)
    np.testing.assert_array_equal(layer(images, training=True).numpy(), layer(images, training=False).numpy())
    for variable, value in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


MAPS = SHAPES["maps"]
MASK = np.random.default_rng(0).uniform(size=MAPS[:3]) < 0.5


@pytest.mark.parametrize(
    ("options", "shape", "call"),
    [
        ({"center": False}, MAPS, {}),
        ({"scale": False}, MAPS, {}),
        ({"renorm": True}, MAPS, {}),
        ({"axis": 1}, MAPS, {}),
        ({"axis": -2}, MAPS, {}),
        ({}, MAPS, {"mask": MASK}),
        ({}, (8, 5), {}),
        ({}, (4, 9, 5), {}),
        ({"axis": 3}, (2, 3, 4, 5, 6), {}),
    ],
    ids=["no center", "no scale", "renorm", "axis 1", "axis -2", "mask", "2-D", "3-D", "5-D"],
)
def test_what_the_kernel_cannot_do_is_left_to_keras(options, shape, call):
    theirs, ours = twins(shape, **options)
    images, upstream = normal(shape), normal(shape, 1)
    assert KERNEL not in operations_of(ours, images, training=True, **call)
    expected, actual = (step_of(layer, training=True, **call)(images, upstream) for layer in (theirs, ours))
    assert len(actual) == 2 + len(ours.trainable_weights) >= 3
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert len(ours.non_trainable_weights) >= 2
    for one, other in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16"])
def test_weights_of_other_dtypes_train_as_keras(dtype):
    """The kernel keeps weights and averages in float32."""
    theirs, ours = twins(MAPS, dtype=dtype)
    images = normal(MAPS)
    expected, actual = (layer(images, training=True) for layer in (theirs, ours))
    assert actual.dtype == dtype
    np.testing.assert_array_equal(*numpy_of([actual, expected]))


def test_whole_numbers_train_as_keras():
    theirs, ours = twins(MAPS)
    images = normal(MAPS).astype(np.int32)
    np.testing.assert_array_equal(ours(images, training=True).numpy(), theirs(images, training=True).numpy())


def test_replicas_that_synchronise_train_as_one_device_does():
    """Halves of a batch whose statistics differ."""
    strategy = choose_strategy("mirrored")  # the one of this process: a second one would number its sums alike
    halves = [normal(MAPS, 0), normal(MAPS, 1, mean=5.0)]
    whole, _ = twins(MAPS)
    expected = whole(np.concatenate(halves), training=True).numpy()
    with strategy.scope():
        _, layer = twins(MAPS, synchronized=True)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(halves[context.replica_id_in_sync_group])
    )
    outputs = tf.function(lambda: strategy.run(lambda images: layer(images, training=True), (values,)))()
    actual = np.concatenate([output.numpy() for output in strategy.experimental_local_results(outputs)])
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    for one, other in zip(layer.non_trainable_weights, whole.non_trainable_weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5)


def test_channels_and_dtype_are_known_before_the_call():
    outputs = FusedBatchNormalization(dtype="mixed_bfloat16")(keras.Input((None, None, 3)), training=True)
    assert (outputs.shape, outputs.dtype) == ((None, None, None, 3), "bfloat16")


def test_trained_and_saved_it_comes_back_and_trains_on(tmp_path):
    images = keras.Input((None, None, 5))
    model = keras.Model(images, FusedBatchNormalization(momentum=MOMENTUM, epsilon=0.01)(images))
    model(normal(MAPS), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.layers[1]) is FusedBatchNormalization
    for training in (False, True):
        outputs = [kind(normal(MAPS, 1), training=training).numpy() for kind in (model, loaded)]
        np.testing.assert_array_equal(*outputs)
    for one, other in zip(loaded.weights, model.weights, strict=True):
        assert one.path.rsplit("/")[-1] == other.path.rsplit("/")[-1]
        np.testing.assert_array_equal(one.numpy(), other.numpy())
