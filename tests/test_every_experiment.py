"""Every experiment: its recipe composes, and `size=tiny` runs it on generated data of the same kind."""

import csv
import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import hydra
import pytest
import yaml
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.settings import TrainSettings, read_settings

FILES = sorted((Path(__file__).parents[1] / "conf" / "experiment").glob("*.yaml"))
# Comparisons on any data, under the settings that it brings: no recipes, but sweeps.
COMPARISONS = ["pooling_indices_vs_upsampling", "pretrained_vs_scratch"]
NAMES = [path.stem for path in FILES if path.stem not in COMPARISONS]
# Of the datasets that experiments take: published numbers, void apart.
NUM_CLASSES = {"build_voc2012": 21, "build_voc2012_aug": 21, "build_oxford_iiit_pet": 3, "build_camvid": 11}
TABLE_1 = [
    "bilinear",
    "segnet_basic",
    "encoder_addition",
    "single_channel_decoder",
    "fcn_basic",
    "fcn_basic_no_addition",
    "fcn_basic_no_dimension_reduction",
    "fcn_basic_no_addition_no_dimension_reduction",
]

# These differ in a few numbers from one that is not among them, or bring together what others have each: ResNet50,
# whose graphs take longest, and the pets or VOC.
LONG = {"r2_unet_batch_norm", "r3_unet_resnet50_scratch", "r4_segnet_resnet50", "r5_fcn16s", "r5_fcn32s"}
LONG |= {"r3_unet_resnet50", "voc_deeplabv3plus"}

# Of experiments that are sweeps, one of their runs.
OF_SWEEP = {"camvid_table1": ["model=segnet_basic"]}

every_experiment = pytest.mark.parametrize("name", NAMES)
every_file = pytest.mark.parametrize("name", [*NAMES, *COMPARISONS])
every_run = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in LONG else name for name in NAMES]
)


@pytest.fixture(scope="module")
def compose():
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield lambda *overrides, **options: hydra.compose("config", list(overrides), **options)


@pytest.fixture(scope="module")
def run_of(tmp_path_factory):
    """Returns the folder of an experiment's tiny run of one epoch by name: one process for the short ones, one for the
    long. What is a sweep itself runs alone, with one of its values.
    """

    @functools.cache
    def run_all(names: tuple[str, ...]) -> dict[str, Path]:
        home = tmp_path_factory.mktemp("experiments")
        chosen = [f"experiment={','.join(names)}", "size=tiny", *OF_SWEEP.get(names[0], ())]
        finished = subprocess.run(
            [sys.executable, "-m", "segtrain", "-m", *chosen, "epochs=1", "callbacks=none"],
            cwd=home, capture_output=True, encoding="utf-8", timeout=1200,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        jobs = {path.parent for path in (home / "outputs").rglob("results.json")}
        by_name = {re.search(r"experiment-(\w+?)_(model|size)-", job.name)[1]: job for job in jobs}
        assert sorted(by_name) == sorted(names)
        assert len(by_name) == len(jobs)
        return by_name

    def run_of(name: str) -> Path:
        alike = [each for each in NAMES if each not in OF_SWEEP and (each in LONG) == (name in LONG)]
        return run_all((name,) if name in OF_SWEEP else tuple(alike))[name]

    return run_of


def test_there_are_as_many_as_there_were():
    assert len(NAMES) >= 13
    assert {"r1_segnet", "r1_encoder_decoder", "r2_unet", "r2_unet_batch_norm", "camvid_table1"} <= set(NAMES)
    assert {"r3_unet_resnet50", "r3_unet_resnet50_scratch", "r4_segnet_resnet50"} <= set(NAMES)
    assert {"r4_segnet_resnet50_indices", "r5_fcn8s", "r5_fcn16s", "r5_fcn32s", "voc_deeplabv3plus"} <= set(NAMES)


@every_file
def test_it_says_what_it_is(name):
    """What it reproduces, the command, what was reported, where it departs and why."""
    text = (config_folder() / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    package, *comment = re.match(r"(?:#.*\n)+", text)[0].splitlines()
    assert package == "# @package _global_"
    assert re.search(rf"segtrain (-m )?experiment=\S*{name}\b", " ".join(comment))
    assert re.search(r"\breports\b", " ".join(comment))
    assert re.search(r"\bWe depart\b", " ".join(comment))


@every_experiment
def test_the_recipe_composes_and_its_stand_in_is_of_its_kind(compose, name):
    config = compose(f"experiment={name}")
    missing = [key for key in OmegaConf.missing_keys(config) if key.startswith("dataset.")]
    settings = read_settings(compose(f"experiment={name}", *(f"{key}=." for key in missing)), TrainSettings)
    dataset = settings.dataset
    void_as_class = dataset.get("void_as_class", False)
    num_classes = NUM_CLASSES[dataset["_target_"].rpartition(".")[2]] + void_as_class
    assert settings.stand_in["num_classes"] == num_classes
    no_void = void_as_class or dataset.get("border") == "class"
    assert settings.stand_in.get("void", True) == (not no_void)
    assert compose(f"experiment={name}", "size=tiny").epochs == 2


@every_run
def test_tiny_runs_it_on_its_stand_in(compose, run_of, name):
    results = json.loads((run_of(name) / "results.json").read_text(encoding="utf-8"))
    recipe = compose(f"experiment={name}")
    assert results["status"] == "completed"
    assert results["dataset"]["name"] == "shapes"
    assert len(results["val"]["per_class_iou"]) == recipe.stand_in.num_classes
    assert recipe.model._target_.endswith(f"build_{results['model']}")
    used = yaml.safe_load((run_of(name) / "config.yaml").read_text(encoding="utf-8"))
    assert (used["image_size"], used["epochs"], used["max_samples"]) == ([32, 48], 1, 12)
    model = OmegaConf.to_container(recipe.model, resolve=True)
    if "encoder" in model:
        model["encoder"]["weights"] = None  # or it would have been downloaded
    assert used["model"] == model
    assert used["optimizer"] == OmegaConf.to_container(recipe.optimizer, resolve=True)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("r1_segnet", 4_481_846), ("r1_encoder_decoder", 4_537_462), ("r2_unet", 5_460_163)],
)
def test_parameters_are_those_of_the_write_ups(run_of, name, parameters):
    """Which a tiny run has too, being tiny in its images alone."""
    results = json.loads((run_of(name) / "results.json").read_text(encoding="utf-8"))
    assert results["parameters"] == parameters


def test_a_tiny_run_of_ones_own_keeps_the_dataset_that_was_typed(compose):
    config = compose("size=tiny", "model=segnet", "dataset=camvid", "dataset.root=CamVid")
    assert config.dataset._target_.endswith("build_camvid")
    assert config.dataset.root == "CamVid"


def test_table_1_is_a_sweep_over_its_networks(compose):
    models = compose("experiment=camvid_table1", return_hydra_config=True).hydra.sweeper.params.model.split(",")
    assert [model.strip() for model in models] == TABLE_1
    for model in models:
        settings = read_settings(compose("experiment=camvid_table1", "dataset.root=.", f"model={model}"), TrainSettings)
        assert settings.model["_target_"].endswith(f"build_{model}")
        assert settings.loss["weights"] == "median_frequency"
        best = settings.callbacks["checkpoint"]  # section 3.2: by global accuracy on the validation images
        assert (best["monitor"], best["mode"]) == ("val_pixel_accuracy", "max")


def swept(compose, *overrides) -> dict[str, str]:
    return OmegaConf.to_container(compose(*overrides, return_hydra_config=True).hydra.sweeper.params)


def test_comparisons_sweep_what_they_compare_with_three_seeds(compose):
    indices = swept(compose, "experiment=pooling_indices_vs_upsampling")
    assert indices == {"model": "segnet_small,encoder_decoder_small", "seed": "1,2,3"}
    weights = swept(compose, "experiment=pretrained_vs_scratch")
    assert weights == {"model.encoder.weights": "imagenet,null", "seed": "1,2,3"}
    tiny = swept(compose, "experiment=pretrained_vs_scratch", "size=tiny")
    assert tiny == {"model.encoder.weights": "null", "seed": "1,2,3"}


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_comparison_leaves_all_but_what_it_compares_to_the_dataset(compose, name):
    config, alone = compose(f"experiment={name}", "dataset=camvid"), compose("dataset=camvid")
    for key in ("dataset", "augmentation", "schedule", "loss", "image_size", "batch_size", "epochs", "seed"):
        assert config[key] == alone[key]


@pytest.mark.long
@pytest.mark.parametrize(("name", "models"), [(COMPARISONS[0], 2), (COMPARISONS[1], 1)])
def test_a_comparison_runs_tiny_and_gives_its_answer(tmp_path, name, models):
    arguments = [sys.executable, "-m", "segtrain", "-m", f"experiment={name}", "size=tiny", "epochs=1"]
    subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, timeout=1200)
    (comparison,) = (tmp_path / "outputs").rglob("comparison.json")
    told = json.loads(comparison.read_text(encoding="utf-8"))
    assert [row["seeds"] for row in told["configurations"]] == [[1, 2, 3]] * models
    assert len(told["differences"]) == models - 1


@pytest.mark.long
def test_the_sweep_of_table_1_compares_them_all(tmp_path):
    arguments = [sys.executable, "-m", "segtrain", "-m", "experiment=camvid_table1", "size=tiny"]
    subprocess.run(arguments, cwd=tmp_path, check=True, capture_output=True, timeout=600)
    (comparison,) = (tmp_path / "outputs").rglob("comparison.csv")
    with comparison.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(TABLE_1)
    assert {(row["count"], row["failed"]) for row in rows} == {("1", "0")}


def test_r1_and_r2_are_their_authors_recipes(compose):
    """Facts of the write-ups."""
    segnet, plain = (compose(f"experiment={name}") for name in ("r1_segnet", "r1_encoder_decoder"))
    for config in (segnet, plain):
        assert (config.image_size, config.batch_size, config.epochs) == ([64, 64], 4, 100)
        assert (config.dataset.split, config.dataset.void_as_class) == ("r1", True)
        assert config.optimizer == {
            "_target_": "segtrain.training.optimizers.build_adam",
            "learning_rate": 0.001,
            "beta_1": 0.9,
            "beta_2": 0.999,
            "epsilon": 1e-7,
            "global_clipnorm": None,
            "use_ema": False,
            "ema_momentum": 0.99,
            "reference_batch_size": None,
            "rate_scaling": "linear",
        }
    assert (segnet.model.width, segnet.model.dropout) == (32, 0.5)
    assert (plain.model.width, plain.model.dropout, plain.model.wide_third_decoder) == (32, 0.0, True)
    without, with_norm = (compose(f"experiment={name}") for name in ("r2_unet", "r2_unet_batch_norm"))
    assert (without.image_size, without.batch_size, without.dataset.val_share) == ([128, 128], 64, None)
    assert (without.model.batch_norm, with_norm.model.batch_norm) == (False, True)
    with_norm.model.batch_norm = False
    assert without == with_norm


def test_r3_is_its_authors_recipe(compose):
    """Facts of the write-up."""
    config, scratch = (compose(f"experiment={name}") for name in ("r3_unet_resnet50", "r3_unet_resnet50_scratch"))
    assert (config.image_size, config.batch_size, config.epochs) == ([224, 224], 32, 100)
    assert (config.dataset.border, config.dataset.val_share) == ("class", None)  # 3 classes; TFDS's test split
    rotate, flip, crop = config.augmentation.transforms.values()
    assert (rotate.limit, flip._target_, crop.scale) == ([-30, 30], "albumentations.HorizontalFlip", [0.7, 1.0])
    assert crop["size"] == [224, 224]
    stopping, best = config.callbacks.early_stopping, config.callbacks.checkpoint
    assert (stopping.monitor, stopping.mode, stopping.patience) == ("val_loss", "min", 5)
    assert (best.monitor, best.mode) == ("val_loss", "min")  # the best weights restored
    assert config.optimizer._target_.endswith("build_adam")
    assert config.loss._target_.endswith("build_cross_entropy")
    assert (config.model.encoder.weights, scratch.model.encoder.weights) == ("imagenet", None)
    scratch.model.encoder.weights = "imagenet"
    assert config == scratch


def test_r4_is_its_authors_recipe(compose):
    """The size, and that the two differ in the up-sampling alone. Data and training the author does not name."""
    plain, indices = (compose(f"experiment={name}") for name in ("r4_segnet_resnet50", "r4_segnet_resnet50_indices"))
    assert plain.image_size == [416, 416]
    assert plain.dataset._target_.endswith("build_voc2012")
    assert plain.loss._target_.endswith("build_cross_entropy")
    assert plain.model.encoder._target_.endswith("build_resnet50")
    indices.model._target_ = plain.model._target_
    assert plain == indices


def test_r5_is_its_authors_recipe(compose):
    """Facts of the write-up."""
    configs = [compose(f"experiment=r5_fcn{stride}s") for stride in (8, 16, 32)]
    for config, stride in zip(configs, (8, 16, 32), strict=True):
        assert config.model._target_ == f"segtrain.models.fcn{stride}s.build_fcn{stride}s"
        config.model._target_ = configs[0].model._target_
        assert config == configs[0]
    first = configs[0]
    assert (first.image_size, first.batch_size, first.epochs) == ([224, 224], 10, 62)
    assert (first.dataset.split, first.dataset.resize, first.dataset.void_as_class) == ("r5", "crop_square", False)
    assert (first.metric_convention, first.optimizer.momentum, first.optimizer.nesterov) == ("per_image", 0.9, False)
    assert first.model.encoder._target_.endswith("build_vgg16_pools")
    assert first.model.encoder.weights == "imagenet"
    assert first.optimizer.learning_rate == 0.0001  # 0.001 gives NaN on large maps


def test_deeplabv3plus_is_trained_as_its_paper_says(compose):
    """Sections 4 and 4.1: 30,000 steps, output stride 16, rate 0.007 falling to the power of 0.9."""
    config = compose("experiment=voc_deeplabv3plus", "dataset.mask_folder=.")
    assert (config.optimizer.learning_rate, config.schedule.power, config.schedule.end_share) == (0.007, 0.9, 0)
    assert (config.batch_size, config.image_size) == (16, [512, 512])
    steps_per_epoch = 10_582 // config.batch_size
    assert abs(config.epochs * steps_per_epoch - 30_000) < steps_per_epoch
    assert (config.model.width, config.model.skip_width, config.model.rates) == (256, 48, [6, 12, 18])


def test_weight_decay_of_deeplabv3plus_is_its_authors_penalty(compose):
    """Whose gradient, 0.0001 of each weight, goes through the momentum: 1,000 steps of it, by hand."""
    optimizer = compose("experiment=voc_deeplabv3plus", "dataset.mask_folder=.").optimizer
    weight, velocity = 1.0, 0.0
    for _ in range(1000):
        velocity = optimizer.momentum * velocity - optimizer.learning_rate * 0.0001 * weight
        weight += velocity
    kept = (1 - optimizer.learning_rate * optimizer.weight_decay) ** 1000
    assert abs((1 - kept) / (1 - weight) - 1) < 0.02
