"""Builds encoders from networks of keras.applications."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from segtrain.layers import FusedBatchNormalization, PadToMultiple2D
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.freezing import Freeze, freeze_encoder
from segtrain.models.encoders.maps import maps_by_stride
from segtrain.models.encoders.preprocessing import Preprocessing, grey_to_rgb, preprocess
from segtrain.models.encoders.weights import build_network, is_trained_here, take_over
from segtrain.starting_weights import tell

STRIDE_OF_LAST = 32


def build_application(
    name: str,
    application: Callable[..., keras.Model],
    *,
    channels: int,
    weights: str | None,
    freeze: Freeze,
    preprocessing: Preprocessing,
    first_layer: str | None = None,
    map_layers: Sequence[str] | None = None,
    batch_norm_momentum: float | None = None,
    setting: str = "model.encoder.weights",
    **options: Any,
) -> Encoder:
    """Builds an encoder from a network of keras.applications.

    Args:
        name: the encoder's.
        application: makes the network, such as `keras.applications.ResNet50`.
        channels: channels of the image. Of a grey image the network sees three equal ones.
        weights: `imagenet`, which keras downloads; a file; or None for random ones. See `build_network`.
        freeze: what training leaves as it is.
        preprocessing: how the images are scaled for the network.
        first_layer: where the network begins after a pre-processing of its own, which is left out.
        map_layers: whose outputs the maps are, one for each stride from 2 on; by default the last before each halving.
        batch_norm_momentum: share of the running statistics kept at each step, where the network has BatchNorm. Keras'
            own, up to 0.999, is for the millions of steps on ImageNet: after a thousand, validation would still see
            the statistics of random weights.
        setting: what errors call the weights.
        **options: further arguments of `application`.

    Raises:
        ValueError: the weights cannot be had or are of another network, or there are fewer stages than to be frozen.
    """
    if weights == "imagenet" and channels not in (1, 3):
        raise ValueError(
            f"{setting}=imagenet: ImageNet's images have 3 channels; the dataset's have {channels}. "
            f"Type {setting}=null."
        )
    seen_channels = 3 if channels == 1 else channels
    options |= {"input_shape": (None, None, seen_channels), "include_top": False}
    network = build_network(application, weights, name=name, setting=setting, **options)
    body = network
    if first_layer is not None:
        body = keras.Model(network.get_layer(first_layer).input, network.output)

    images = keras.Input((None, None, channels), name="image")
    x = PadToMultiple2D(STRIDE_OF_LAST, dtype="float32", name="pad_to_multiple")(images)
    copy = copy_network(body, images, preprocess(grey_to_rgb(x), preprocessing), batch_norm_momentum)
    copy.set_weights(body.get_weights())
    if map_layers is None:
        maps = maps_by_stride(copy)
    else:
        maps = {2**place: copy.get_layer(layer).output for place, layer in enumerate(map_layers, 1)}
    model = keras.Model(images, list(maps.values()), name=name)
    encoder = Encoder(model, tuple(maps), tuple(each.shape[-1] for each in maps.values()))
    if is_trained_here(weights):
        take_over(model, weights, setting)
    freeze_encoder(encoder, freeze)
    if weights is None and freeze not in ("none", "batch_norm"):
        tell(f"note: model.encoder.freeze={freeze}: what is frozen of {name} stays at random weights")
    return encoder


def copy_network(
    network: keras.Model, images: Any, prepared: Any, batch_norm_momentum: float | None = None
) -> keras.Model:
    """Returns a network of the same layers from `images`, whose first layers read `prepared`, computed from these.

    BatchNorm becomes ours, which trains faster, with the momentum named, if one is. Weights are new.
    """

    def copied(layer):
        config = layer.get_config()
        if type(layer) is not layers.BatchNormalization:
            return type(layer).from_config(config)
        if batch_norm_momentum is not None:
            config["momentum"] = batch_norm_momentum
        return FusedBatchNormalization.from_config(config)

    def called(layer, *inputs, **options):
        return layer(*(prepared if each is images else each for each in inputs), **options)

    return keras.models.clone_model(network, input_tensors=images, clone_function=copied, call_function=called)
