import copy
import re
from dataclasses import fields
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.config_error import ConfigError, suggest
from segtrain.settings import (
    BenchmarkSettings,
    CompareSettings,
    EvaluateSettings,
    PredictSettings,
    TrainSettings,
    read_settings,
    read_settings_of_run,
    with_absolute_paths,
)

# One composition that has something of every kind: a Literal, an optional list, nested transforms, Keras callbacks.
OVERRIDES = [
    "model=encoder_decoder_small",
    "dataset=folder",
    "dataset.root=data",
    "augmentation=photometric",
    "callbacks=[default,early_stopping]",
]
SCHEMAS = {
    "config": TrainSettings,
    "evaluate": EvaluateSettings,
    "predict": PredictSettings,
    "compare": CompareSettings,
    "benchmark": BenchmarkSettings,
}


@pytest.fixture(scope="module")
def composed():
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        configs = {name: hydra.compose(name, OVERRIDES if name in ("config", "benchmark") else []) for name in SCHEMAS}
    for config in configs.values():
        OmegaConf.set_struct(config, False)
    return configs


@pytest.fixture
def read(composed):
    """Reads the settings with some values changed; a key may be new."""

    def read(changes, name="config"):
        config = copy.deepcopy(composed[name])
        for key, value in changes.items():
            OmegaConf.update(config, key, value, merge=False, force_add=True)
        return read_settings(config, SCHEMAS[name])

    return read


@pytest.fixture
def refusal(read):
    """Returns the message with which changed values are refused: one line."""

    def refusal(changes, name="config"):
        with pytest.raises(ConfigError) as caught:
            read(changes, name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refusal


def test_right_settings_come_back_as_plain_values(read, composed):
    settings = read({})
    expected = OmegaConf.to_container(composed["config"], resolve=True)
    assert {field.name: getattr(settings, field.name) for field in fields(settings)} == expected
    assert type(settings.model) is type(settings.callbacks["pictures"]) is dict
    assert settings.augmentation["transforms"]["crop"]["size"] == [256, 256]  # ${image_size}, resolved


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.dropout", 0),  # an integer is a number
        ("model.upsampling", "bilinear"),
        ("seed", 0),
        ("seed", 2**32 - 1),
        ("max_samples", 2),
        ("max_samples", None),
        ("dataset.resize", "letterbox"),
        ("dataset.classes", None),
        ("dataset.classes", ["road", "sky"]),
        ("dataset.classes", {"road": 1, "sky": [2, 3], "car": [[0, 0, 128], [0, 0, 64]]}),
        ("dataset.ignore_label", 255),
        ("callbacks.pictures.epochs", [0, 3]),
        ("callbacks.early_stopping.min_delta", 1),
        ("callbacks.early_stopping.baseline", 0.5),  # of the callback, not in the YAML
        ("callbacks.mine", {"_target_": "keras.callbacks.TerminateOnNaN"}),
        ("augmentation.transforms", {}),
        ("augmentation.transforms.colour.hue", 0.1),  # tuple[float, float] | float
        ("augmentation.transforms.crop.area_for_downscale", None),
        ("augmentation.transforms.crop.area_for_downscale", "image"),
        ("augmentation.transforms.crop.interpolation", 2),
        ("augmentation.transforms.blur", {"_target_": "albumentations.Blur", "blur_limit": 5}),
        ("allow_targets", None),
    ],
)
def test_what_is_right_is_accepted(read, key, value):
    settings = read({key: value})
    found = getattr(settings, key.split(".")[0])
    for part in key.split(".")[1:]:
        found = found[part]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        # Types.
        ("epochs", "abc", "epochs=abc: has to be an integer. Received str."),
        ("epochs", "3", "epochs=3: has to be an integer. Received str."),
        ("epochs", 1.5, "epochs=1.5: has to be an integer. Received float."),
        ("epochs", 3.0, "epochs=3.0: has to be an integer. Received float."),
        ("epochs", True, "epochs=true: has to be an integer. Received bool."),
        ("epochs", None, "epochs=null: has to be an integer. Received NoneType."),
        ("epochs", [1], "epochs=[1]: has to be an integer. Received list."),
        ("epochs", {"a": 1}, 'epochs={"a": 1}: has to be an integer. Received dict.'),
        ("max_samples", "all", "max_samples=all: has to be an integer. Received str."),
        ("model.width", "4", "model.width=4: has to be an integer. Received str."),
        ("model.dropout", "0.5", "model.dropout=0.5: has to be a number. Received str."),
        ("model.dropout", False, "model.dropout=false: has to be a number. Received bool."),
        ("optimizer.learning_rate", True, "optimizer.learning_rate=true: has to be a number. Received bool."),
        ("optimizer.nesterov", 1, "optimizer.nesterov=1: has to be true or false. Received int."),
        ("optimizer.nesterov", "true", "optimizer.nesterov=true: has to be true or false. Received str."),
        ("dataset.root", None, "dataset.root=null: has to be text. Received NoneType."),
        ("dataset.root", 3, "dataset.root=3: has to be text. Received int."),
        ("callbacks.early_stopping.patience", "ten", "callbacks.early_stopping.patience=ten: has to be an integer."),
        ("callbacks.early_stopping.patience", True, "callbacks.early_stopping.patience=true: has to be an integer."),
        # Ranges.
        ("seed", -1, "seed=-1: has to be greater than or equal to 0."),
        ("seed", 2**32, "seed=4294967296: has to be less than or equal to 4294967295."),
        ("batch_size", 0, "batch_size=0: has to be greater than or equal to 1."),
        ("max_samples", 1, "max_samples=1: has to be greater than or equal to 2."),
        ("image_size", [32, 0], "image_size=[32, 0]: has to be greater than or equal to 1."),
        ("model.dropout", 1.0, "model.dropout=1.0: has to be less than 1."),
        ("model.batch_norm_momentum", 0, "model.batch_norm_momentum=0: has to be greater than 0."),
        ("optimizer.learning_rate", 0.0, "optimizer.learning_rate=0.0: has to be greater than 0."),
        ("optimizer.learning_rate", float("nan"), "optimizer.learning_rate=NaN: has to be"),
        ("optimizer.weight_decay", -1, "optimizer.weight_decay=-1: has to be greater than or equal to 0."),
        ("schedule.end_share", 1.5, "schedule.end_share=1.5: has to be less than or equal to 1."),
        ("dataset.ignore_label", 256, "dataset.ignore_label=256: has to be less than or equal to 255."),
        ("callbacks.pictures.epochs", [0, -1], "callbacks.pictures.epochs=[0, -1]: has to be greater than or equal to"),
        # Choices.
        ("model.upsampling", "bilinea", "has to be nearest or bilinear. Did you mean 'bilinear'?"),
        ("model.upsampling", None, "model.upsampling=null: has to be nearest or bilinear."),
        ("dataset.resize", "crop", "dataset.resize=crop: has to be stretch, crop_square or letterbox."),
        ("dataset.cache", "memry", "has to be auto, memory, disk or none. Did you mean 'memory'?"),
        ("trainer.strategy", "two", "trainer.strategy=two: has to be auto, one, mirrored or multiworker."),
        ("callbacks.checkpoint.mode", "maximum", "has to be max or min. Did you mean 'max'?"),
        ("augmentation.reads", "nativ", "has to be resized or native. Did you mean 'native'?"),
        # Lists.
        ("image_size", [32], "image_size=[32]: has to be a list of 2 values. Received 1."),
        ("image_size", [32, 32, 32], "image_size=[32, 32, 32]: has to be a list of 2 values. Received 3."),
        ("image_size", [32, 1.5], "image_size=[32, 1.5]: has to be an integer."),
        ("image_size", 32, "image_size=32: has to be a list, such as [a,b]. Received int."),
        ("image_size", "32x48", "image_size=32x48: has to be a list, such as [a,b]. Received str."),
        ("dataset.classes", "road", "classes=road: has to be a list, such as [a,b] or settings (key: value). Received"),
        ("dataset.classes", ["road", 1], 'dataset.classes=["road", 1]: has to be text. Received list.'),
        ("dataset.classes", {"road": "x"}, 'classes={"road": "x"}: has to be an integer or a list, such as [a,b].'),
        ("callbacks.pictures.epochs", 3, "callbacks.pictures.epochs=3: has to be a list"),
        # What is nested in an option.
        ("augmentation.transforms", None, "augmentation.transforms=null: has to be settings"),
        ("augmentation.transforms.flip.p", "abc", "augmentation.transforms.flip.p=abc: has to be a number."),
        ("augmentation.transforms.flip.p", True, "augmentation.transforms.flip.p=true: has to be a number."),
        ("augmentation.transforms.crop.size", [32], "transforms.crop.size=[32]: has to be a list of 2 values."),
        ("augmentation.transforms.crop.size", 32, "augmentation.transforms.crop.size=32: has to be a list"),
        ("augmentation.transforms.crop.scale", ["a", 1], 'transforms.crop.scale=["a", 1]: has to be a number.'),
        ("augmentation.transforms.crop.area_for_downscale", "imag", "Did you mean 'image'?"),
        (
            "augmentation.transforms.crop.sice",
            [1, 2],
            "transforms.crop.sice: there is no such setting. Did you mean 'size'",
        ),
        ("augmentation.transforms.blur", {"_target_": "albumentations.Blurr"}, "'albumentations' has no 'Blurr'"),
        ("augmentation.transforms.blur", 3, "augmentation.transforms.blur: needs a _target_"),
        ("augmentation.transforms.blur", {"p": 0.5}, "augmentation.transforms.blur: needs a _target_"),
        # Keys.
        ("x", 1, "x: there is no such setting. Settings here: model, dataset, "),
        ("epoch", 3, "epoch: there is no such setting. Did you mean 'epochs'?"),
        ("optimzer", {}, "optimzer: there is no such setting. Did you mean 'optimizer'?"),
        ("optimizer.learning_rat", 1, "learning_rat: there is no such setting. Did you mean 'learning_rate'?"),
        ("model.widht", 4, "model.widht: there is no such setting. Did you mean 'width'?"),
        ("dataset.val_shar", 0.1, "dataset.val_shar: there is no such setting. Did you mean 'val_share'?"),
        ("callbacks.csv.x", 1, "callbacks.csv.x: there is no such setting. Settings here: none."),
        ("callbacks.early_stopping.patince", 3, "callbacks.early_stopping.patince: there is no such setting. Did you"),
        # What the run gives.
        ("model.num_classes", 3, "model.num_classes: is set by the run itself"),
        ("model.channels", 3, "model.channels: is set by the run itself"),
        ("loss.ignore_label", 3, "loss.ignore_label: is set by the run itself"),
        ("augmentation.ignore_label", 3, "augmentation.ignore_label: is set by the run itself"),
        ("schedule.learning_rate", 0.1, "schedule.learning_rate: is set by the run itself"),
        ("schedule.epochs", 3, "schedule.epochs: is set by the run itself"),
        ("callbacks.csv.folder", "x", "callbacks.csv.folder: is set by the run itself"),
        ("callbacks.pictures.validation", "x", "callbacks.pictures.validation: is set by the run itself"),
        # Targets.
        ("model._target_", "segtrain.models.nope.build", "There is no module 'segtrain.models.nope'."),
        ("model._target_", "segtrain.models.segnet.build", "The module 'segtrain.models.segnet' has no 'build'."),
        (
            "loss._target_",
            "keras.losses.Dic",
            "loss._target_=keras.losses.Dic: The module 'keras.losses' has no 'Dic'.",
        ),
        ("model._target_", 3, "model: needs a _target_"),
        ("model._target_", None, "model: needs a _target_"),
        ("model", {}, "model: needs a _target_"),
        ("model", "segnet", "model: needs a _target_"),
        ("callbacks.csv", None, "callbacks.csv: needs a _target_"),
        ("callbacks.x", 1, "callbacks.x: needs a _target_"),
        # Interpolations.
        ("seed", "${epochss}", "seed: Interpolation key 'epochss' not found"),
        ("model.width", "${model.widht}", "model.width: Interpolation key 'model.widht' not found"),
        ("seed", "${oc.env:SEGTRAIN_HAS_NO_SUCH_VARIABLE}", "SEGTRAIN_HAS_NO_SUCH_VARIABLE"),
    ],
)
def test_what_is_wrong_is_told(refusal, key, value, words):
    message = refusal({key: value})
    assert words in message
    assert message.startswith(key.removesuffix("._target_"))


def test_settings_are_listed_in_the_builders_order(refusal):
    """And so the same way each time."""
    message = refusal({"model.widht": 4})
    assert message.endswith("Settings here: width, dropout, batch_norm_momentum, upsampling, wide_third_decoder.")


@pytest.mark.parametrize("key", [field.name for field in fields(TrainSettings)])
def test_nothing_may_be_left_out(composed, key):
    config = copy.deepcopy(composed["config"])
    del config[key]
    with pytest.raises(ConfigError, match=f"^{key} is required"):
        read_settings(config, TrainSettings)


def test_a_run_may_be_older_than_a_setting_with_a_default(composed, tmp_path):
    config = copy.deepcopy(composed["config"])
    del config["stand_in"]
    OmegaConf.save(config, tmp_path / "config.yaml")
    settings = read_settings_of_run(tmp_path / "config.yaml")
    assert settings.stand_in is None
    assert settings.epochs == composed["config"].epochs
    del config["epochs"]
    OmegaConf.save(config, tmp_path / "config.yaml")
    with pytest.raises(ValueError, match="epochs is required"):
        read_settings_of_run(tmp_path / "config.yaml")


@pytest.mark.parametrize("key", ["model", "dataset", "callbacks", "loss", "trainer"])
def test_a_group_may_not_be_null(refusal, key):
    assert refusal({key: None}).startswith(f"{key} is required. Type {key}=OPTION")


def test_a_required_value_is_told_with_its_purpose(refusal):
    assert refusal({"dataset.root": "???"}) == "dataset.root is required: the folder. Type dataset.root=VALUE."


def test_the_first_of_several_mistakes_is_told(refusal):
    """Those of the whole run come first, since options refer to them."""
    assert "epochs" in refusal({"model.width": 0, "dataset.val_share": 2, "epochs": "x"})


@pytest.mark.parametrize(
    ("schedule", "accepted"),
    [("build_constant", True), ("build_cosine", False), ("build_polynomial", False)],
)
def test_one_thing_alone_changes_the_learning_rate(read, refusal, schedule, accepted):
    changes = {
        "schedule": {"_target_": f"segtrain.training.schedules.{schedule}"},
        "callbacks.reduce_on_plateau": {"_target_": "keras.callbacks.ReduceLROnPlateau", "patience": 2},
    }
    if accepted:
        assert read(changes).callbacks["reduce_on_plateau"]["patience"] == 2
    else:
        assert re.fullmatch(r"callbacks\.reduce_on_plateau .*schedule=constant.*", refusal(changes))


def test_how_the_rate_follows_the_batch_is_no_use_without_what_it_is_meant_for(read, refusal):
    told = refusal({"optimizer.rate_scaling": "sqrt"})
    assert told.startswith("optimizer.rate_scaling=sqrt: ")
    assert told.endswith("Type optimizer.reference_batch_size=IMAGES with it.")
    assert refusal({"optimizer.reference_batch_size": 0}).startswith("optimizer.reference_batch_size=0: ")
    both = {"optimizer.rate_scaling": "sqrt", "optimizer.reference_batch_size": 16}
    assert read(both).optimizer["reference_batch_size"] == 16


def test_the_best_weights_are_kept_by_one_thing_alone(read, refusal):
    stopping = {"_target_": "keras.callbacks.EarlyStopping", "restore_best_weights": True}
    checkpoint = {"_target_": "segtrain.training.callbacks.checkpoint.Checkpoint"}
    alone = read({"callbacks": {"early_stopping": stopping}})
    assert alone.callbacks["early_stopping"]["restore_best_weights"]
    told = refusal({"callbacks": {"early_stopping": stopping, "checkpoint": checkpoint}})
    assert re.fullmatch(r"callbacks\.early_stopping\.restore_best_weights: .*best\.keras.* Leave it out\.", told)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trainer.workers": 2}, "trainer.workers=2 starts workers for trainer.strategy=multiworker"),
        (
            {"trainer.strategy": "multiworker", "trainer.find_batch_size": True},
            "trainer.find_batch_size=true: tries are made on one machine",
        ),
    ],
)
def test_what_is_of_no_use_to_the_workers_is_refused(refusal, changes, told):
    assert refusal(changes).startswith(told)


OWN_SIZES = {
    "image_size": None,
    "batch_size": 1,
    "augmentation": {
        "_target_": "segtrain.augmentations.augmentation.Augmentation",
        "transforms": {"flip": {"_target_": "albumentations.HorizontalFlip"}},
    },
}


def test_images_may_keep_their_own_sizes(read):
    settings = read(OWN_SIZES | {"trainer.strategy": "one", "trainer.jit": False, "epochs": 3})
    assert (settings.image_size, settings.batch_size, settings.epochs) == (None, 1, 3)


@pytest.mark.parametrize(
    ("changes", "what", "instead"),
    [
        ({"batch_size": 8}, "batch_size=8", "batch_size=1"),
        ({"dataset.resize": "letterbox"}, "dataset.resize=letterbox", "dataset.resize=stretch"),
        ({"dataset.resize": "crop_square"}, "dataset.resize=crop_square", "dataset.resize=stretch"),
        ({"trainer.strategy": "mirrored"}, "trainer.strategy=mirrored", "trainer.strategy=one"),
        ({"trainer.jit": True}, "trainer.jit=true", "trainer.jit=false"),
        ({"trainer.find_batch_size": True}, "trainer.find_batch_size=true", "trainer.find_batch_size=false"),
        (
            {"augmentation.transforms.crop": {"_target_": "albumentations.RandomResizedCrop", "size": "${image_size}"}},
            "augmentation.transforms.crop.size",
            "augmentation=flip or augmentation=none",
        ),
        ({"model.width": "${image_size[0]}"}, "model.width", "another model.width"),
        (
            {"callbacks.pictures.epochs": [0, "${image_size.1}"]},
            "callbacks.pictures.epochs.1",
            "another callbacks.pictures.epochs.1",
        ),
    ],
)
def test_what_needs_a_size_is_refused_without_one(refusal, changes, what, instead):
    message = refusal(OWN_SIZES | changes)
    assert message.startswith(f"{what}: ")
    assert "image_size=null" in message
    assert re.search(rf"Type {re.escape(instead)}.*, or image_size=\[HEIGHT,WIDTH\]\.$", message)


@pytest.mark.parametrize(
    ("measure", "instead"), [(["xla"], "measure=[run]"), (["start_up", "xla", "run"], "measure=[start_up,run]")]
)
def test_a_benchmark_of_xla_needs_a_size(refusal, measure, instead):
    assert f"Type {instead}, or image_size" in refusal(OWN_SIZES | {"measure": measure}, "benchmark")


PREDICT = {"run": "a", "input": "b", "output": "c"}


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("evaluate", {}, "run is required. Type run=VALUE."),
        ("evaluate", {"run": 3}, "run=3: has to be text."),
        ("evaluate", {"run": "a", "split": "trian"}, "has to be train, val or test. Did you mean 'train'?"),
        ("evaluate", {"run": "a", "batch_size": 0}, "batch_size=0: has to be greater than or equal to 1."),
        ("evaluate", {"run": "a", "splt": "val"}, "splt: there is no such setting. Did you mean 'split'?"),
        ("evaluate", {"run": "a", "overlap": 0.25}, "overlap=0.25: is that of windows, and there are none."),
        ("evaluate", {"run": "a", "scale": "original", "batch_size": 2}, "batch_size=2: scale=original, tta and"),
        ("evaluate", {"run": "a", "tta": ["flip"], "batch_size": 1}, "Leave batch_size out."),
        ("evaluate", {"run": "a", "metric_convention": "segtrian"}, "Did you mean 'segtrain'?"),
        ("predict", {"run": "a"}, "input is required. Type input=VALUE."),
        ("predict", {"run": "a", "input": "b"}, "output is required. Type output=VALUE."),
        ("predict", {"run": "a", "input": "b", "output": "c", "overwrite": 1}, "overwrite=1: has to be true or false."),
        ("predict", PREDICT | {"tta": "flip"}, "tta=flip: has to be a list, such as [flip]."),
        ("predict", PREDICT | {"tta": ["flop"]}, "tta=[\"flop\"]: has to be flip or scales. Did you mean 'flip'?"),
        ("predict", PREDICT | {"format": "png"}, "format=png: has to be a list, such as [palette]."),
        ("predict", PREDICT | {"format": []}, "format=[]: has to be a list of at least 1 values."),
        ("predict", PREDICT | {"sliding_window": [64]}, "sliding_window=[64]: has to be a list of 2 values."),
        ("predict", PREDICT | {"sliding_window": [64, 0]}, "has to be greater than or equal to 1."),
        ("predict", PREDICT | {"overlap": 0.95}, "overlap=0.95: has to be less than or equal to 0.9."),
        ("predict", PREDICT | {"overlap": 0.2}, "overlap=0.2: is that of windows, and there are none."),
        ("predict", PREDICT | {"batch_size": 0}, "batch_size=0: has to be greater than or equal to 1."),
        ("predict", PREDICT | {"input": 3}, "input=3: has to be text or a list, such as [a,b]."),
        ("compare", {}, "run is required. Type run=VALUE."),
        ("compare", {"run": []}, "run=[]: has to be"),
        ("compare", {"run": "a", "model": {}}, "model: there is no such setting."),
    ],
)
def test_the_other_verbs_are_checked_too(refusal, name, changes, words):
    assert words in refusal(changes, name)


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "evaluate",
            {"run": "a"},
            EvaluateSettings(
                run="a",
                split="val",
                scale="native",
                tta=[],
                sliding_window=None,
                overlap=0.5,
                metric_convention=None,
                batch_size=None,
            ),
        ),
        (
            "predict",
            {"run": "a", "input": "b", "output": "c"},
            PredictSettings(
                "a",
                "b",
                "c",
                format=["palette", "overlay"],
                tta=[],
                sliding_window=None,
                overlap=0.5,
                batch_size=8,
                overwrite=False,
            ),
        ),
        ("compare", {"run": "a"}, CompareSettings(run="a")),
        ("compare", {"run": ["a", "b"]}, CompareSettings(run=["a", "b"])),
    ],
)
def test_the_other_verbs_have_defaults(read, name, changes, expected):
    assert read(changes, name) == expected


@pytest.mark.parametrize(("value", "shown"), [(1.5, "1.5"), ("some", "some"), (True, "true")])
def test_a_choice_of_words_and_numbers_is_told_with_both(refusal, value, shown):
    encoder = {"_target_": "segtrain.models.encoders.vgg16.build_vgg16", "_partial_": True, "freeze": value}
    model = {"_target_": "segtrain.models.unet_on_encoder.build_unet_on_encoder", "encoder": encoder}
    assert refusal({"model": model}) == (
        f"model.encoder.freeze={shown}: has to be none, all or batch_norm, or an integer."
    )


@pytest.mark.parametrize(
    ("word", "nearest"),
    [("segnt", "segnet"), ("SegNet", "segnet"), ("encoder-decoder", "encoder_decoder"), ("segnet_smal", "segnet_small"),
     ("xyz", None), ("", None)],
)  # fmt: skip
def test_the_nearest_word_is_suggested(word, nearest):
    known = ["segnet", "segnet_small", "encoder_decoder"]
    assert suggest(word, known) == (f" Did you mean '{nearest}'?" if nearest else "")


def test_what_a_callback_monitors_is_measured(refusal):
    told = refusal({"callbacks.checkpoint.monitor": "val_miou"})
    assert "callbacks.checkpoint.monitor=val_miou" in told
    assert "Did you mean 'val_mean_iou'?" in told


@pytest.mark.parametrize(("weights", "kept"), [("a/best.keras", False), ("imagenet", True), (None, True)])
def test_the_file_of_weights_is_found_from_any_folder(weights, kept):
    expected = weights if kept else str(Path("a/best.keras").resolve())
    of_encoder = OmegaConf.create({"model": {"encoder": {"weights": weights}}, "dataset": {}})
    assert with_absolute_paths(of_encoder).model.encoder.weights == expected
    of_model = OmegaConf.create({"model": {"weights": weights}, "dataset": {}})
    assert with_absolute_paths(of_model).model == {"weights": expected}
