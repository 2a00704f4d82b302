import pytest

from segtrain.checks.options import check_option
from segtrain.config_error import ConfigError

ENCODER = {"_target_": "segtrain.models.encoders.vgg16.build_vgg16", "_partial_": True}
FCN = {"_target_": "segtrain.models.fcn8s.build_fcn8s"}
STOPPING = {"_target_": "keras.callbacks.EarlyStopping"}


def refusal(where, option, given=frozenset()):
    with pytest.raises(ConfigError) as refused:
        check_option(where, option, set(given))
    return str(refused.value)


@pytest.mark.parametrize(
    ("encoder", "typed"), [("resnet101", "model/encoder=resnet101"), (None, "model/encoder=OPTION"), (3, "=OPTION")]
)
def test_an_option_within_an_option_is_chosen_with_a_slash(encoder, typed):
    told = refusal("model", FCN | {"encoder": encoder}, {"num_classes", "channels"})
    assert told.startswith("model.encoder=")
    assert told.endswith(f"Type {typed}." if typed.startswith("model") else f"{typed}.")


def test_what_has_no_default_is_required():
    told = refusal("dataset", {"_target_": "segtrain.datasets.folder.build_folder"})
    assert told == "dataset.root is required: the folder. Type dataset.root=VALUE."
    assert refusal("model", FCN, {"num_classes", "channels"}).endswith("Type model/encoder=OPTION.")
    check_option("dataset", {"_target_": "segtrain.datasets.folder.build_folder"}, set(), is_called=False)
    # What is called later may be given the rest then.
    check_option("dataset", {"_target_": "segtrain.datasets.folder.build_folder", "_partial_": True}, set())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "maxi"}, "callbacks.x.mode=maxi: has to be auto, min or max."),
        ({"patience": -1}, "callbacks.x.patience=-1: has to be greater than or equal to 0."),
        (
            {"_target_": "keras.callbacks.ReduceLROnPlateau", "factor": 2},
            "callbacks.x.factor=2: has to be less than 1.",
        ),
    ],
)
def test_what_keras_would_refuse_in_training_is_refused_now(changes, words):
    assert words in refusal("callbacks.x", STOPPING | changes)


def test_right_options_pass():
    check_option("model", FCN | {"encoder": ENCODER}, {"num_classes", "channels"})
    check_option("callbacks.x", STOPPING | {"mode": "max", "patience": 3}, set())
