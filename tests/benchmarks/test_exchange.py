import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from segtrain.benchmarks.exchange import (
    compile_all_reduces,
    compile_single,
    count_bytes,
    first_batch,
    gradient_packs,
    measure_exchange,
    terms_of,
)
from segtrain.benchmarks.scaling import StepTerms
from segtrain.datasets.shapes import build_shapes
from segtrain.layers import FusedBatchNormalization
from segtrain.pipeline.samples import Samples
from segtrain.training.cluster import Cluster, free_addresses
from segtrain.training.evaluator import Evaluator
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.run import Run
from segtrain.training.trainer import Trainer

BATCH_SIZE = 4


def make_run(strategy, batch_size, width=4):
    """Of width 4: 3·3·3·4 weights in a convolution, BatchNorm of 4 channels, 4·5 weights and 5 biases in another."""
    dataset = build_shapes(num_train=BATCH_SIZE, num_val=BATCH_SIZE, cache="none")
    training, validation = (Samples(dataset, split, image_size=(16, 16)) for split in ("train", "val"))
    trainer, loss = Trainer(strategy=strategy), build_cross_entropy(ignore_label=dataset.ignore_label)
    with trainer.scope():
        images = keras.Input((None, None, 3))
        x = keras.layers.Conv2D(width, 3, padding="same", use_bias=False)(images)
        x = FusedBatchNormalization()(x)
        model = keras.Model(images, keras.layers.Conv2D(dataset.num_classes, 1)(x))
        optimizer = keras.optimizers.SGD(0.01)
    evaluator = Evaluator(trainer, model, loss, validation, batch_size)
    return Run(trainer, model, optimizer, loss, training, evaluator, batch_size, [])


@pytest.fixture(scope="module")
def figures():
    """Of two replicas, two rounds."""
    return measure_exchange(make_run("mirrored", BATCH_SIZE), functools.partial(make_run, "one", BATCH_SIZE // 2), 2)


def test_all_that_is_exchanged_is_counted(figures):
    classes = build_shapes(num_train=1, num_val=1).num_classes
    found = {name.partition(".")[2]: figure.median for name, figure in figures.items()}
    # Weights; scale and offset of BatchNorm; weights and biases.
    assert found["gradient_bytes"] == 4 * (3 * 3 * 3 * 4 + 2 * 4 + 4 * classes + classes)
    # Forward the sums of 4 channels, of their squares and the count of pixels of each; backward two of these. Then the
    # counts of pixels by true and predicted class, in 64 bits.
    assert found["statistics_bytes"] == 4 * 4 * 5 + 8 * classes**2
    # The number of valid pixels: of the loss in float32, of the scores in float64; and the loss of these.
    assert found["scalar_bytes"] == 4 + 8 + 8
    assert found["bytes_per_step"] == sum(found[f"{kind}_bytes"] for kind in ("gradient", "statistics", "scalar"))
    # Of two devices, each sends 2 (2 - 1) / 2 of them: all.
    assert found["sent_bytes_per_device"] == found["bytes_per_step"]
    assert found["all_reduces"] == 1 + 5 + 1 + 3
    assert found["gradient_all_reduces"] == 1


def test_rates_and_shares_belong_together(figures):
    found = {name.partition(".")[2]: figure for name, figure in figures.items()}
    assert found["images_per_second"].median == pytest.approx(2 * found["images_per_second_per_replica"].median)
    # What is taken within each round lies between what its ends allow.
    replica, single = found["images_per_second_per_replica"], found["single_images_per_second"]
    assert replica.low / single.high <= found["replica_over_single"].median <= replica.high / single.low
    step = [BATCH_SIZE / found["images_per_second"].high, BATCH_SIZE / found["images_per_second"].low]
    alone = found["seconds"]
    assert alone.low / step[1] <= found["share"].median * (1 + 1e-9)
    assert found["share"].median <= alone.high / step[0] * (1 + 1e-9)
    assert alone.low > 0


def test_terms_for_the_prediction(figures):
    rate = figures["exchange.single_images_per_second"].median
    compute = figures["exchange.compute_seconds"].median
    gradients = figures["exchange.gradient_bytes"].median
    waited = sum(figures[f"exchange.{kind}_bytes"].median for kind in ("statistics", "scalar"))
    assert terms_of(figures, 2) == StepTerms(2, 2 / rate, compute, gradients, 1, waited, 5 + 1 + 3)


def test_a_replica_computes_without_the_fused_kernel():
    single = make_run("one", BATCH_SIZE)
    batch = first_batch(single)
    of_kernel = []
    for step in compile_single(single, batch):
        operations = step.get_concrete_function(*batch).graph.get_operations()
        of_kernel.append(sum("FusedBatchNorm" in operation.type for operation in operations))
    # Forward and backward.
    assert of_kernel == [2, 0]


def test_one_device_exchanges_nothing():
    assert measure_exchange(make_run("one", BATCH_SIZE), lambda: pytest.fail("made for nothing"), 1) == {}


def test_a_step_of_several_batches_is_refused():
    run = make_run("mirrored", BATCH_SIZE)
    run.trainer.accumulate = 4
    with pytest.raises(ValueError, match=r"Received: trainer.accumulate=4. Type trainer.accumulate=1"):
        measure_exchange(run, lambda: pytest.fail("made for nothing"), 1)


def test_gradients_that_are_exchanged_out_of_sight_are_no_figure():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    with pytest.raises(RuntimeError, match=r"the gradients of 16 weights. There are those of \[8, 1\] numbers"):
        gradient_packs([tf.TensorSpec((8,), tf.float32), tf.TensorSpec((1,), tf.float32)], model)


def test_gradients_that_are_summed_twice_count_twice():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
    pack, statistics, number = (tf.TensorSpec((size,), tf.float32) for size in (16, 8, 1))
    tensors = [statistics, pack, pack, number]
    assert gradient_packs(tensors, model) == [pack, pack]
    assert count_bytes(tensors, [pack, pack]) == {"gradients": 128, "statistics": 32, "scalars": 4}


def test_all_reduces_alone_are_those_of_the_shapes():
    strategy = Trainer(strategy="mirrored").strategy
    run = compile_all_reduces(strategy, [tf.TensorSpec((3, 5), tf.float32), tf.TensorSpec((1,), tf.float64)])
    assert float(run()) == 0
    operations = run.get_concrete_function().graph.get_operations()
    sizes = [each.inputs[0].shape.num_elements() for each in operations if each.type == "CollectiveReduceV2"]
    np.testing.assert_array_equal(sorted(sizes), [1, 1, 15, 15])  # on both devices


@pytest.mark.long
def test_two_workers_send_what_is_counted(tmp_path):
    """As the kernel counts what the chief's connections have brought to the other worker."""
    cluster = Cluster(free_addresses(2), 0)
    workers = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("send_in_process.py"), tmp_path / f"{index}.json"],
            env=os.environ | {"TF_CONFIG": cluster.tf_config(index)},
        )
        for index in range(2)
    ]
    assert [worker.wait(timeout=200) for worker in workers] == [0, 0]
    figures = json.loads((tmp_path / "0.json").read_text("utf-8"))
    # Each all-reduce comes with messages of some hundred bytes that ask for the other's part.
    overhead = figures["sent"] - figures["exchange.sent_bytes_per_device"]
    assert 0 < overhead < 1000 * figures["exchange.all_reduces"]
    assert overhead < 0.02 * figures["sent"]
