import numpy as np
import pytest

from segtrain.prediction.test_time_augmentation import View, views


@pytest.mark.parametrize(
    ("tta", "expected"),
    [
        ([], {(1, False)}),
        (["flip"], {(1, False), (1, True)}),
        (["scales"], {(0.75, False), (1, False), (1.25, False)}),
        (["scales", "flip"], {(scale, mirrored) for scale in (0.75, 1, 1.25) for mirrored in (False, True)}),
    ],
)
def test_choices_multiply(tta, expected):
    found = [(view.scale, view.is_mirrored) for view in views(tta)]
    assert len(found) == len(expected)
    assert set(found) == expected


@pytest.mark.parametrize("tta", [["flop"], "flip", ["flip", "scale"]])
def test_what_is_no_choice_is_told(tta):
    with pytest.raises(ValueError, match=r"has to be a list of flip and scales"):
        views(tta)


def test_mirroring_swaps_left_and_right_and_back():
    pixels = np.arange(12).reshape(1, 2, 3, 2)
    view = View(is_mirrored=True)
    assert view.mirrored(pixels)[0, 1, 0].tolist() == pixels[0, 1, 2].tolist()
    np.testing.assert_array_equal(view.mirrored(view.mirrored(pixels)), pixels)


def test_a_scaled_size_has_a_pixel():
    assert View(0.75).size((1, 200)) == (1, 150)
    assert View(0.25).size((1, 2)) == (1, 1)
