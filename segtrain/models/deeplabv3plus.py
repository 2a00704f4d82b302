"""DeepLabv3+ on any encoder."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import keras
from annotated_types import Ge, Gt, Lt, MinLen
from keras import layers

from segtrain.layers import BilinearUpSampling2D, FusedBatchNormalization
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.encoders.maps import step_of, strides_of
from segtrain.models.logits_of_image import LogitsAt, logits_of_image


def build_deeplabv3plus(
    *,
    num_classes: Annotated[int, Ge(2)],
    channels: Annotated[int, Ge(1)],
    encoder: Callable[..., Encoder],
    width: Annotated[int, Ge(1)] = 256,
    skip_width: Annotated[int, Ge(1)] = 48,
    rates: Annotated[Sequence[Annotated[int, Ge(1)]], MinLen(1)] = (6, 12, 18),
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1,
    batch_norm_momentum: Annotated[float, Gt(0), Lt(1)] = 0.9,
    logits_at: LogitsAt = "input",
) -> keras.Model:
    """Builds DeepLabv3+ with output stride 16: atrous spatial pyramid pooling, and a decoder that reads stride 4.

    The encoder's last halving is taken back and what follows dilated by two, so its last map has stride 16 and its
    weights fit as they are. See Chen et al. 2018, https://arxiv.org/abs/1802.02611. The pyramid and the decoder use
    depthwise separable convolutions on any encoder; the paper's do on Xception, and are whole on ResNet101. The
    pyramid's branch for the whole image has biases in place of the paper's BatchNorm: it has one value a map, so of a
    batch of one image, which images of their own sizes make, nothing would be left.

    Args:
        num_classes: classes to tell apart, background included, void not.
        channels: channels of the image.
        encoder: builder of the encoder, which is told the channels.
        width: filters of the pyramid's branches and of the decoder.
        skip_width: filters that the encoder's map of stride 4 is reduced to.
        rates: dilation of each 3x3 branch of the pyramid.
        dropout: share of values dropped after the pyramid.
        batch_norm_momentum: share of the decoder's running statistics kept at each step.
        logits_at: `input` interpolates the logits at the size of the image; `native` leaves them at a quarter of it.

    Returns:
        A model from images `(batch, height, width, channels)` with values 0..255 to float32 logits
        `(batch, height, width, num_classes)`, interpolated from a quarter of the size; any height and width.

    Raises:
        ValueError: the encoder's weights cannot be had.
    """

    def unit(x: Any, kernel_size: int, name: str, *, filters: int = width, rate: int = 1) -> Any:
        if kernel_size > 1:
            x = layers.DepthwiseConv2D(
                kernel_size, padding="same", dilation_rate=rate, use_bias=False, name=f"{name}_depthwise"
            )(x)
            x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"{name}_depthwise_norm")(x)
            x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
        x = layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv")(x)
        x = FusedBatchNormalization(momentum=batch_norm_momentum, name=f"{name}_norm")(x)
        return layers.ReLU(name=f"{name}_relu")(x)

    images = keras.Input((None, None, channels), name="image")
    skip, features = dilated(encoder(channels=channels).reading(4, 32))(images)

    # Pyramid.
    branches = [unit(features, 1, "pyramid1")]
    branches += [unit(features, 3, f"pyramid{number}", rate=rate) for number, rate in enumerate(rates, 2)]
    # One value for the whole image, added rather than joined as a map of equal values: the same, and of any size.
    whole = layers.GlobalAveragePooling2D(keepdims=True, name="pyramid_whole")(features)
    whole = layers.Conv2D(width, 1, activation="relu", kernel_initializer="he_normal", name="pyramid_whole_conv")(whole)
    whole = layers.Conv2D(width, 1, use_bias=False, name="pyramid_whole_share")(whole)
    x = layers.Concatenate(name="pyramid_join")(branches)
    x = layers.Conv2D(width, 1, use_bias=False, kernel_initializer="he_normal", name="pyramid_conv")(x)
    x = layers.Add(name="pyramid_add_whole")([x, whole])
    x = FusedBatchNormalization(momentum=batch_norm_momentum, name="pyramid_norm")(x)
    x = layers.ReLU(name="pyramid_relu")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)

    # Decoder.
    x = BilinearUpSampling2D(4, name="upsample")(x)
    x = layers.Concatenate(name="decoder_join")([x, unit(skip, 1, "skip", filters=skip_width)])
    x = unit(x, 3, "decoder1")
    x = unit(x, 3, "decoder2")
    x = layers.Conv2D(num_classes, 1, dtype="float32", name="classes")(x)
    return keras.Model(images, logits_of_image(x, images, times=4, logits_at=logits_at), name="deeplabv3plus")


def dilated(encoder: Encoder) -> keras.Model:
    """Returns the encoder with its last halving taken back and all later convolutions dilated by two.

    Each weight then meets the pixels it met before, at twice as many places. Where layers pad by themselves, padding
    "same" replaces that.

    Args:
        encoder: an encoder whose last map has stride 32.

    Returns:
        A model from images to the encoder's maps, the last of stride 16, with the same weights.
    """
    network, strides = encoder.model, strides_of(encoder.model)
    late = {layer.name for layer in network.layers if strides[id(layer.output)] == encoder.strides[-1]}
    # A layer's own padding before the halving is for its stride.
    halving = {layer.name for layer in network.layers if layer.name in late and step_of(layer) > 1}
    late_inputs = {id(layer.input) for layer in network.layers if layer.name in halving}
    padding = {
        layer.name
        for layer in network.layers
        if isinstance(layer, layers.ZeroPadding2D) and (layer.name in late or id(layer.output) in late_inputs)
    }

    def copied(layer):
        config = layer.get_config()
        if layer.name in late:
            _dilate(config, is_halving=layer.name in halving)
        return type(layer).from_config(config)

    def called(layer, *inputs, **options):
        return inputs[0] if layer.name in padding else layer(*inputs, **options)

    copy = keras.models.clone_model(network, clone_function=copied, call_function=called)
    copy.set_weights(network.get_weights())
    return copy


def _dilate(config: dict[str, Any], *, is_halving: bool) -> None:
    """Changes the settings of a layer: stride 1, and dilation 2 where it is after the halving."""
    for inner in config.get("layers", []):  # of a layer made of others
        _dilate(inner["config"], is_halving=is_halving)
    size = config.get("kernel_size", config.get("pool_size"))
    if size is None:
        return
    config["strides"] = (1, 1)
    if max(size) > 1:
        config["padding"] = "same"
        if "dilation_rate" in config and not is_halving:
            config["dilation_rate"] = (2, 2)
