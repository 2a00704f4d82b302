"""What encoders from keras.applications have in common: pre-processing, weights, freezing, finding the maps."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import keras
from annotated_types import Ge, Le
from keras import layers

from segtrain.layers import FusedBatchNormalization, PadToMultiple2D
from segtrain.models.encoders.encoder import Encoder
from segtrain.models.saved import load_saved_model

# What stays as it is while the rest is trained: nothing, everything, BatchNorm alone, or so many stages from the image.
Freeze = Literal["none", "all", "batch_norm"] | Annotated[int, Ge(1), Le(5)]
# How the pixels were scaled that ImageNet weights were trained on, by keras' names for it.
Preprocessing = Literal["caffe", "tf", "torch"]

STRIDE_OF_LAST = 32
# Of ImageNet, in the range 0..1, red first.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The same mean as Caffe's models subtract it: 0..255, blue first.
CAFFE_MEAN = (103.939, 116.779, 123.68)


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
        weights: `imagenet`, which keras downloads; a file; or None for random ones. See `_load`.
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
    network = _load(name, application, weights, setting, **options)
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
    if weights is not None and Path(weights).suffix == ".keras":
        _take_over(encoder, weights, setting)
    _freeze(encoder, freeze)
    return encoder


def grey_to_rgb(images: Any) -> Any:
    """Returns grey images with three equal channels, and others as they are."""
    if images.shape[-1] != 1:
        return images
    return layers.Concatenate(dtype="float32", name="grey_to_rgb")([images] * 3)


def preprocess(images: Any, kind: Preprocessing) -> Any:
    """Scales images 0..255, red first, as the weights of a family expect.

    Equals `keras.applications.imagenet_utils.preprocess_input` with the mode of that name. Images of other channels
    than three have no such mean, and are scaled to -1..1.
    """
    # In float32 whatever the precision of the network, which would round the pixels before their mean is taken off.
    if kind == "tf" or images.shape[-1] != 3:
        return layers.Rescaling(1 / 127.5, -1.0, dtype="float32", name="preprocess")(images)
    if kind == "caffe":
        images = keras.ops.flip(images, axis=-1)
        return layers.Rescaling(1.0, [-mean for mean in CAFFE_MEAN], dtype="float32", name="preprocess")(images)
    scale = [1 / (255 * deviation) for deviation in DEVIATION]
    offset = [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)]
    return layers.Rescaling(scale, offset, dtype="float32", name="preprocess")(images)


def maps_by_stride(model: keras.Model) -> dict[int, Any]:
    """Returns the last map before each halving, and the last of all, by stride; maps of the images' size are left out.

    Found by the strides of layers, since some families number their layers on from model to model.
    """
    strides, maps = strides_of(model), {}
    made_by = {id(operation.output): (number, operation) for number, operation in enumerate(model.operations)}
    halved = [operation for operation in model.operations if step_of(operation) > 1]
    for source in [*(operation.input for operation in halved), model.outputs[0]]:
        number, operation = made_by[id(source)]
        if isinstance(operation, layers.ZeroPadding2D):
            source = operation.input
        stride = strides[id(source)]
        # A block may halve twice side by side; what was computed last knows most.
        if stride > 1 and (stride not in maps or number > maps[stride][0]):
            maps[stride] = number, source
    return {stride: maps[stride][1] for stride in sorted(maps)}


def strides_of(model: keras.Model) -> dict[int, int]:
    """Returns how many pixels of the image a pixel of each tensor stands for, by the tensor's id."""
    strides = {id(model.inputs[0]): 1}
    for operation in model.operations:
        before = max((strides[id(each)] for each in keras.tree.flatten(operation.input)), default=1)
        for output in keras.tree.flatten(operation.output):
            strides[id(output)] = before * step_of(operation)
    return strides


def step_of(operation: Any) -> int:
    """Returns by how much a layer makes a map smaller: its stride, or those of the layers in it."""
    if isinstance(operation, keras.Sequential):
        return max(step_of(layer) for layer in operation.layers)
    strides = getattr(operation, "strides", 1)
    return strides if isinstance(strides, int) else strides[0]


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


def _load(
    name: str, application: Callable[..., keras.Model], weights: str | None, setting: str, **options: Any
) -> keras.Model:
    """Builds the network as keras does, with its weights.

    A file `.h5` or `.weights.h5` holds those of the network of keras.applications without its top. A `.keras` file is
    a model trained here, and is read by `_take_over`.
    """
    is_file = weights not in (None, "imagenet")
    wanted = (
        f"Type {setting}=imagenet, null, or a file: .h5 or .weights.h5 of {application.__name__} without "
        f"its top, or the checkpoints/best.keras of a run on {name}."
    )
    if is_file and not Path(weights).expanduser().is_file():
        raise ValueError(f"{setting}={weights}: there is no such file. {wanted}")
    with warnings.catch_warnings():
        # That images have other sizes than ImageNet's, or other channels.
        warnings.filterwarnings("ignore", message=r"(?s).*(input_shape|input channels)")
        if weights == "imagenet":
            try:
                return application(weights="imagenet", **options)
            except Exception as error:
                # keras raises plain exceptions here.
                raise ValueError(_how_to_fetch(application.__name__, setting, error)) from error
        network = application(weights=None, **options)
    if is_file and Path(weights).suffix != ".keras":
        try:
            network.load_weights(Path(weights).expanduser())
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(f"{setting}={weights}: does not fit {name}: {_first_line(error)} {wanted}") from error
    return network


def _how_to_fetch(network: str, setting: str, error: Exception) -> str:
    folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
    # Keras' words are "URL fetch failure on ADDRESS: None -- REASON".
    address = re.search(r"https?://\S+\w", str(error))
    fetch = f"Put {address[0]} into {folder}" if address else f"Put keras' file for it into {folder}"
    return (
        f"{setting}=imagenet: the weights of {network} could not be downloaded: "
        f"{_first_line(error).rpartition(' -- ')[2]} {fetch}, "
        f"or type {setting}=null to start from random ones."
    )


def _take_over(encoder: Encoder, path: str, setting: str) -> None:
    """Sets the encoder's weights to those of the encoder of the same name in a model that was trained here."""
    wanted = f"It has to be the checkpoints/best.keras of a run on {encoder.model.name}."
    try:
        trained = load_saved_model(Path(path).expanduser())
        encoder.model.set_weights(trained.get_layer(encoder.model.name).get_weights())
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{setting}={path}: {_first_line(error)} {wanted}") from error


def _freeze(encoder: Encoder, freeze: Freeze) -> None:
    model = encoder.model
    if freeze == "all":
        model.trainable = False
    elif freeze == "batch_norm":
        for layer in _with_inner(model.layers):
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False
    elif freeze != "none":
        if freeze > len(encoder.strides):
            raise ValueError(
                f"model.encoder.freeze={freeze}: {model.name} has {len(encoder.strides)} stages. "
                f"Type a number up to that, none, all or batch_norm."
            )
        for layer in keras.Model(model.inputs[0], model.outputs[freeze - 1]).layers:
            layer.trainable = False


def _with_inner(outer: list[Any]) -> Iterator[Any]:
    for layer in outer:
        yield layer
        yield from _with_inner(getattr(layer, "layers", []))


def _first_line(error: Exception) -> str:
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."
