import keras
import numpy as np
import pytest

from segtrain.benchmarks.networks import NUM_CLASSES, random_batch
from segtrain.models.mirrored_network import small_stages
from segtrain.models.segnet_small import build_segnet_small
from segtrain.training.losses.cross_entropy import build_cross_entropy
from segtrain.training.optimizers import build_sgd
from segtrain.training.step import Learner


def copy_weights(ours, theirs, torch):
    """Puts the weights of a Keras network into the PyTorch one, layer by layer; returns pairs of both."""
    convolutions = [layer for layer in ours.layers if isinstance(layer, keras.layers.Conv2D)]
    norms = [layer for layer in ours.layers if isinstance(layer, keras.layers.BatchNormalization)]
    modules = list(theirs.modules())
    their_convolutions = [module for module in modules if isinstance(module, torch.nn.Conv2d)]
    their_norms = [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(convolutions) == len(their_convolutions) == 24
    assert len(norms) == len(their_norms) == 23
    pairs = [(layer.kernel, module.weight) for layer, module in zip(convolutions, their_convolutions, strict=True)]
    pairs += [(layer.bias, module.bias) for layer, module in zip(convolutions, their_convolutions, strict=True)]
    pairs += [(layer.gamma, module.weight) for layer, module in zip(norms, their_norms, strict=True)]
    pairs += [(layer.beta, module.bias) for layer, module in zip(norms, their_norms, strict=True)]
    with torch.no_grad():
        for variable, parameter in pairs:
            parameter.copy_(torch.from_numpy(as_torch_has_it(variable).copy()))
    return pairs


def as_torch_has_it(variable):
    values = keras.ops.convert_to_numpy(variable)
    return values.transpose(3, 2, 0, 1) if values.ndim == 4 else values


def test_a_step_in_torch_is_the_same_step():
    """From our weights it comes to our weights, as far as rounding lets it; else their times could not be compared."""
    torch = pytest.importorskip("torch")
    from segtrain.benchmarks.torch_network import TorchSegNet, TorchStep

    ours = build_segnet_small(num_classes=NUM_CLASSES, channels=3, width=8, dropout=0.0)
    theirs = TorchSegNet(stages=small_stages(8), num_classes=NUM_CLASSES, channels=3, dropout=0.0)
    pairs = copy_weights(ours, theirs, torch)
    before = [as_torch_has_it(variable).copy() for variable, _ in pairs]
    optimizer = build_sgd(learning_rate=0.01)
    optimizer.build(ours.trainable_variables)
    step = Learner(ours, optimizer, build_cross_entropy(ignore_label=255), num_replicas=1).step
    images, labels = random_batch()
    loss, _ = step(*(keras.ops.convert_to_tensor(part) for part in (images, labels)))
    their_loss = TorchStep(theirs, images, labels, device="cpu")()
    np.testing.assert_allclose(float(their_loss), float(loss), rtol=1e-5)
    ways = [
        np.concatenate([(after - start).ravel() for after, start in zip(afters, before, strict=True)])
        for afters in (
            [as_torch_has_it(variable) for variable, _ in pairs],
            [parameter.detach().numpy() for _, parameter in pairs],
        )
    ]
    assert np.linalg.norm(ways[0]) > 1e-3
    np.testing.assert_allclose(np.dot(*ways) / np.prod([np.linalg.norm(way) for way in ways]), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(ways[1]), np.linalg.norm(ways[0]), rtol=1e-2)


def test_the_torch_network_is_the_same_network():
    """With our weights it gives our logits."""
    torch = pytest.importorskip("torch")
    from segtrain.benchmarks.torch_network import TorchSegNet

    ours = build_segnet_small(num_classes=5, channels=3, width=8, dropout=0.1)
    theirs = TorchSegNet(stages=small_stages(8), num_classes=5, channels=3, dropout=0.1).eval()
    rng = np.random.default_rng(0)
    for weight in ours.trainable_weights:
        weight.assign(rng.normal(0.05 if "gamma" not in weight.path else 1.0, 0.1, weight.shape))

    copy_weights(ours, theirs, torch)
    with torch.no_grad():
        images = rng.integers(0, 256, (2, 32, 48, 3)).astype(np.float32)
        logits = theirs(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
    expected = keras.ops.convert_to_numpy(ours(images, training=False))
    np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
