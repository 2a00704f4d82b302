"""FCN-16s on VGG16."""

from segtrain.models.encoders.vgg16_pools import build_vgg16_pools
from segtrain.models.fcn16s import build_fcn16s

VGG16 = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def test_parameters_are_those_of_vgg16_its_scores_and_kernels_twice_as_large_as_they_enlarge():
    model = build_fcn16s(num_classes=21, channels=3, encoder=build_vgg16_pools)
    vgg16 = sum(9 * before * after + after for before, after in zip(VGG16, VGG16[1:], strict=False))
    scores = (512 + 512) * 21 + 2 * 21
    enlarging = (4**2 + 32**2) * 21 * 21
    assert vgg16 == 14_714_688  # as keras counts them
    assert model.count_params() == vgg16 + scores + enlarging
