import keras
import numpy as np
import pytest

from segtrain.models.mirrored_network import small_stages
from segtrain.models.segnet_small import build_segnet_small


def test_the_torch_network_is_the_same_network():
    """With our weights it gives our logits."""
    torch = pytest.importorskip("torch")
    from segtrain.benchmarks.torch_network import TorchSegNet

    ours = build_segnet_small(num_classes=5, channels=3, width=8, dropout=0.1)
    theirs = TorchSegNet(stages=small_stages(8), num_classes=5, channels=3, dropout=0.1).eval()
    rng = np.random.default_rng(0)
    for weight in ours.trainable_weights:
        weight.assign(rng.normal(0.05 if "gamma" not in weight.path else 1.0, 0.1, weight.shape))

    convolutions = [layer for layer in ours.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in ours.layers if isinstance(layer, keras.layers.BatchNormalization)]
    modules = list(theirs.modules())
    their_convolutions = [module for module in modules if isinstance(module, torch.nn.Conv2d)]
    their_norms = [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(convolutions) == len(their_convolutions) == 24
    assert len(norms) == len(their_norms) == 23
    with torch.no_grad():
        for layer, module in zip(convolutions, their_convolutions, strict=True):
            module.weight.copy_(torch.from_numpy(keras.ops.convert_to_numpy(layer.kernel).transpose(3, 2, 0, 1).copy()))
            module.bias.copy_(torch.from_numpy(keras.ops.convert_to_numpy(layer.bias).copy()))
        for layer, module in zip(norms, their_norms, strict=True):
            module.weight.copy_(torch.from_numpy(keras.ops.convert_to_numpy(layer.gamma).copy()))
            module.bias.copy_(torch.from_numpy(keras.ops.convert_to_numpy(layer.beta).copy()))
        images = rng.integers(0, 256, (2, 32, 48, 3)).astype(np.float32)
        logits = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
    expected = keras.ops.convert_to_numpy(ours(images, training=False))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
