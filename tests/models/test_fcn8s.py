"""FCN-8s on VGG16."""

import hydra
import keras
import numpy as np
import tensorflow as tf

from segtrain.command.composition import config_folder
from segtrain.instantiate import build
from segtrain.models.encoders.vgg16_pools import build_vgg16_pools
from segtrain.models.fcn8s import build_fcn8s
from segtrain.settings import READ_BY_RUN
from segtrain.training.step import Learner

VGG16 = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def test_parameters_are_those_of_vgg16_its_scores_and_kernels_twice_as_large_as_they_enlarge():
    model = build_fcn8s(num_classes=21, channels=3, encoder=build_vgg16_pools)
    vgg16 = sum(9 * before * after + after for before, after in zip(VGG16, VGG16[1:], strict=False))
    scores = (256 + 512 + 512) * 21 + 3 * 21
    enlarging = (4**2 + 8**2 + 16**2) * 21 * 21
    assert vgg16 == 14_714_688  # as keras counts them
    assert model.count_params() == vgg16 + scores + enlarging


def test_it_learns_at_the_rate_that_comes_with_it(shapes_dataset):
    """VGG16 from random weights, whose loss sgd's own rate makes NaN."""
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = hydra.compose("config", ["model=fcn8s"])
    keras.utils.set_random_seed(1)
    model = build(config.model, num_classes=shapes_dataset.num_classes, channels=3)
    loss = build(config.loss, ignore_label=shapes_dataset.ignore_label)
    samples = [shapes_dataset.split("train").read(number) for number in range(4)]
    images, labels = (tf.constant(np.stack(each)) for each in zip(*samples, strict=True))
    of_builder = {name: value for name, value in config.optimizer.items() if name not in READ_BY_RUN["optimizer"]}
    step = tf.function(Learner(model, build(of_builder), loss, num_replicas=1).step)
    losses = [float(step(images, labels)[0]) for _ in range(10)]
    assert np.isfinite(losses).all()
    assert min(losses[-3:]) < 0.8 * losses[0]
