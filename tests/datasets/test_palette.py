import pytest

from segtrain.datasets.palette import voc_palette

# Pascal VOC's 21, as everyone's masks have them.
VOC = {
    "background": (0, 0, 0),
    "aeroplane": (128, 0, 0),
    "bicycle": (0, 128, 0),
    "bird": (128, 128, 0),
    "boat": (0, 0, 128),
    "bottle": (128, 0, 128),
    "bus": (0, 128, 128),
    "car": (128, 128, 128),
    "cat": (64, 0, 0),
    "chair": (192, 0, 0),
    "cow": (64, 128, 0),
    "diningtable": (192, 128, 0),
    "dog": (64, 0, 128),
    "horse": (192, 0, 128),
    "motorbike": (64, 128, 128),
    "person": (192, 128, 128),
    "pottedplant": (0, 64, 0),
    "sheep": (128, 64, 0),
    "sofa": (0, 192, 0),
    "train": (128, 192, 0),
    "tvmonitor": (0, 64, 128),
}


@pytest.mark.parametrize("num_classes", [2, 21])
def test_the_first_colours_are_pascal_vocs(num_classes):
    assert voc_palette(num_classes) == list(VOC.values())[:num_classes]


def test_every_label_has_a_colour_of_its_own():
    colours = voc_palette(256)
    assert len(set(colours)) == 256
    assert colours[255] == (224, 224, 192)  # void in VOC's files
