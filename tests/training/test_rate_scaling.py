"""The learning rate that follows the images of a step."""

import hydra
import keras
import pytest
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.largest_batch import with_largest_batch
from segtrain.parts import build_run, open_splits, start_tensorflow
from segtrain.run_folder import RunFolder
from segtrain.settings import TrainSettings, read_settings
from segtrain.training.rate_scaling import describe_scaling, scaled_learning_rate

SMALL = ["size=tiny", "batch_size=2", "model.width=4", "callbacks=none", "optimizer.learning_rate=0.3"]


def compose(*overrides):
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose("config", [*SMALL, *overrides])


def settings_of(*overrides):
    return read_settings(compose(*overrides), TrainSettings)


@pytest.mark.parametrize(
    ("overrides", "rate"),
    [
        (["batch_size=64"], 0.3),  # only when asked
        (["batch_size=64", "optimizer.reference_batch_size=16"], 1.2),
        (["batch_size=4", "optimizer.reference_batch_size=16"], 0.075),
        (["batch_size=16", "optimizer.reference_batch_size=16"], 0.3),
        (["batch_size=16", "trainer.accumulate=4", "optimizer.reference_batch_size=16"], 1.2),
        (["batch_size=64", "optimizer.reference_batch_size=16", "optimizer.rate_scaling=sqrt"], 0.6),
    ],
)
def test_the_rate_is_worked_out_by_hand(overrides, rate):
    assert scaled_learning_rate(settings_of(*overrides)) == pytest.approx(rate, rel=1e-12)


def test_it_is_told_in_a_line():
    settings = settings_of("batch_size=8", "trainer.accumulate=4", "optimizer.reference_batch_size=16")
    assert describe_scaling(settings) == (
        "learning rate 0.6: optimizer.learning_rate=0.3 is that of 16 images a step, and a step has 32 "
        "(optimizer.rate_scaling=linear)"
    )


@pytest.mark.parametrize(
    ("schedule", "of_steps"),
    [
        # Two epochs of three steps. A rise of one epoch: its first steps and its top.
        ("cosine", {0: 0.0, 1: 0.2, 2: 0.4, 3: 0.6}),
        ("polynomial", {0: 0.6, 3: 0.6 * 0.5**0.9, 6: 0.0}),
        ("constant", {0: 0.6}),
    ],
)
def test_a_schedule_goes_over_the_scaled_rate(tmp_path, policy_restored, schedule, of_steps):
    """0.3 for two images, of which a step has four."""
    settings = settings_of(f"schedule={schedule}", "trainer.accumulate=2", "optimizer.reference_batch_size=2")
    folder = RunFolder(tmp_path)
    run = build_run(settings, folder, start_tensorflow(settings, folder), *open_splits(settings))
    rates = {}
    for step in of_steps:
        run.optimizer.iterations.assign(step)
        rates[step] = float(keras.ops.convert_to_numpy(run.optimizer.learning_rate))
    assert rates == pytest.approx(of_steps, rel=1e-6)


def test_it_follows_the_batch_that_is_found(tmp_path, monkeypatch):
    """And the run's config makes the same run of it again."""
    monkeypatch.setattr("segtrain.largest_batch.find_batch_size", lambda *_: 24)
    config = compose("trainer.find_batch_size=true", "optimizer.reference_batch_size=8")
    found = with_largest_batch(read_settings(config, TrainSettings), config, (None, None), RunFolder(tmp_path))
    again = read_settings(OmegaConf.load(tmp_path / "config.yaml"), TrainSettings)
    assert scaled_learning_rate(found) == scaled_learning_rate(again) == pytest.approx(0.9)
