import numpy as np
import pytest

from segtrain.training.collapse import describe_collapse

NAMES = ["ground", "disc", "ring", "pole"]
OF_GROUND = "ground is {predicted} of the validation predictions and {truth} of the truth"


@pytest.mark.parametrize(
    ("confusion_matrix", "expected"),
    [
        # All of it is one class.
        ([[700, 0, 0, 0], [200, 0, 0, 0], [50, 0, 0, 0], [50, 0, 0, 0]], ("100.0%", "70.0%")),
        # As good as all of it.
        ([[6990, 10, 0, 0], [1990, 10, 0, 0], [490, 5, 5, 0], [500, 0, 0, 0]], ("99.7%", "70.0%")),
        # One class is answered wrongly here and there, and scores as if it were not.
        ([[690, 0, 0, 10], [190, 0, 0, 10], [50, 0, 0, 0], [50, 0, 0, 0]], ("98.0%", "70.0%")),
        # A truth of hardly anything else, and nothing else is found.
        ([[9950, 0, 0, 0], [20, 0, 0, 0], [20, 0, 0, 0], [10, 0, 0, 0]], ("100.0%", "99.5%")),
    ],
)
def test_answering_one_class_is_said(confusion_matrix, expected):
    said = describe_collapse(np.array(confusion_matrix), NAMES)
    assert OF_GROUND.format(predicted=expected[0], truth=expected[1]) in said
    assert "loss=weighted_cross_entropy" in said


@pytest.mark.parametrize(
    "confusion_matrix",
    [
        # A good network.
        [[690, 10, 0, 0], [10, 190, 0, 0], [0, 0, 50, 0], [0, 0, 0, 50]],
        # A truth of hardly anything else, and another class is found.
        [[9950, 0, 0, 0], [5, 15, 0, 0], [20, 0, 0, 0], [10, 0, 0, 0]],
        # One that has begun to learn: two classes a little.
        [[650, 50, 0, 0], [160, 40, 0, 0], [50, 0, 0, 0], [50, 0, 0, 0]],
        # Noise, as before training.
        [[175, 175, 175, 175], [50, 50, 50, 50], [12, 13, 12, 13], [13, 12, 13, 12]],
        # A split with one class only.
        [[700, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        # A split of void.
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ],
)
def test_what_tells_classes_apart_is_no_collapse(confusion_matrix):
    assert describe_collapse(np.array(confusion_matrix), NAMES) is None


def test_a_loss_that_weighs_classes_already_is_not_advised():
    said = describe_collapse(
        np.array([[700, 0, 0, 0], [200, 0, 0, 0], [50, 0, 0, 0], [50, 0, 0, 0]]), NAMES, weighs_classes=True
    )
    assert "weighted_cross_entropy" not in said
    assert "loss=ce_dice" in said
