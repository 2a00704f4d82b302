"""The weights that an encoder starts from: random ones, ImageNet's, those of a file, or of a model trained here."""

import itertools
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from segtrain.models.encoders.imagenet import build_with_imagenet
from segtrain.models.saved import load_saved_model
from segtrain.starting_weights import are_read, is_file_of_weights, require_file_of_weights, tell


def build_network(
    application: Callable[..., keras.Model], weights: str | None, *, name: str, setting: str, **options: Any
) -> keras.Model:
    """Builds a network of keras.applications, with its weights.

    A file `.h5` or `.weights.h5` holds those of the network without its top. Those of a model that was trained here are
    left to `take_over`.

    Args:
        application: makes the network.
        weights: imagenet, None (random), or a file.
        name: the encoder's, for errors.
        setting: what errors call the weights.
        **options: of `application`.

    Raises:
        ValueError: the weights cannot be had or are of another network.
    """
    with warnings.catch_warnings():
        # That images have other sizes than ImageNet's, or other channels; that a file does not fit, which is an error.
        warnings.filterwarnings("ignore", message=r"(?s).*(input_shape|input channels|Skipping nested container)")
        if weights == "imagenet" and are_read():
            return build_with_imagenet(application, setting, **options)
        network = application(weights=None, **options)
        if is_file_of_weights(weights) and are_read():
            require_file_of_weights(setting, weights)
            if not is_trained_here(weights):
                _load_file(network, Path(weights).expanduser(), application.__name__, name, setting)
    return network


def is_trained_here(weights: str | None) -> bool:
    """Says whether weights are a model's, as a run saves it."""
    return weights is not None and Path(weights).suffix == ".keras"


def take_over(encoder: keras.Model, path: str, setting: str) -> None:
    """Sets the weights of each layer to those of the layer of that name in a model that was trained here.

    Its encoder may end earlier, where its decoder reads no more; what comes after keeps its weights, and that is told.

    Args:
        encoder: a model of the same name as the encoder in the file.
        path: of the file, `checkpoints/best.keras` of a run.
        setting: what errors call the weights.

    Raises:
        ValueError: the file is damaged, or holds no such encoder.
    """
    if not are_read():
        return
    file = Path(path).expanduser()
    wanted = f"has to be the checkpoints/best.keras of a run on the encoder {encoder.name}"
    try:
        trained = load_saved_model(file)
    except ValueError as error:
        raise ValueError(f"{setting}={path}: {str(error).removeprefix(f'{file} ')} It {wanted}.") from error
    networks = [layer for layer in [trained, *trained.layers] if hasattr(layer, "layers")]
    inner = next((network for network in networks if network.name == encoder.name), None)
    if inner is None:
        raise ValueError(f"{setting}={path}: {wanted}. It holds {trained.name}, which has no such encoder.")
    held = {name: layer.get_weights() for name, layer in _by_own_name(inner).items()}
    own = _by_own_name(encoder)
    missing = [name for name in own if name not in held]
    if missing == list(own) or missing != list(own)[len(own) - len(missing) :]:
        raise ValueError(f"{setting}={path}: {wanted}. Its encoder has no layer {missing[0]}.")
    for name in own.keys() - set(missing):
        shapes, expected = ([each.shape for each in weights] for weights in (held[name], own[name].get_weights()))
        if shapes != expected:
            raise ValueError(
                f"{setting}={path}: {wanted}, with the same settings. Weights of its layer {name} have shapes "
                f"{_shown(shapes)}; here they are {_shown(expected)}."
            )
    for name in own.keys() - set(missing):
        own[name].set_weights(held[name])
    if missing:
        tell(
            f"note: {setting}={path} has no weights for the last {len(missing)} layers of {encoder.name}, from "
            f"{missing[0]} on, which its model did not read. Where this one does, they start from random weights."
        )


def _by_own_name(network: keras.Model) -> dict[str, keras.Layer]:
    """Returns the layers that have weights; what keras has numbered on from model to model is numbered from 0."""
    layers = {}
    for layer in network.layers:
        name = re.sub(r"_\d+$", "", layer.name)
        if name.replace("_", "") == type(layer).__name__.lower():
            name = next(numbered for number in itertools.count() if (numbered := f"{name}_{number}") not in layers)
        else:
            name = layer.name
        if layer.weights:
            layers[name] = layer
    return layers


def _load_file(network: keras.Model, path: Path, of: str, name: str, setting: str) -> None:
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        fault = "is damaged, or holds no weights" if isinstance(error, OSError) else f"does not fit {name}"
        raise ValueError(
            f"{setting}={path}: {fault}. It has to be .h5 or .weights.h5 of {of} without its top, or the "
            f"checkpoints/best.keras of a run on the encoder {name}."
        ) from error


def _shown(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("x".join(map(str, shape)) for shape in shapes)
