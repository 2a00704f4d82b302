"""A model's file from a stranger runs no code, and a damaged one is told in a line."""

import io
import json
import pickle
import random
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from segtrain.models.saved import load_saved_model


class TouchesFile:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def model():
    images = keras.Input((8, 8, 3))
    return keras.Model(images, keras.layers.Conv2D(2, 3)(images))


@pytest.fixture
def saved(model, tmp_path):
    model.save(tmp_path / "saved.keras")
    return tmp_path / "saved.keras"


def replaced(path, member, content):
    """Returns a copy of a zip file with one member replaced, or added."""
    copy = path.with_name("replaced.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            if name != member and not (member.endswith(".npz") and name.endswith(".h5")):
                new.writestr(name, old.read(name))
        new.writestr(member, content)
    return copy


def test_a_model_comes_back(saved, model):
    loaded = load_saved_model(saved)
    for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_lambda_layer_is_refused_and_not_run(tmp_path):
    sprung = tmp_path / "sprung"
    images = keras.Input((8, 8, 3))

    def layer(x, path=str(sprung)):
        open(path, "w").close()
        return x

    keras.Model(images, keras.layers.Lambda(layer)(images)).save(tmp_path / "theirs.keras")
    sprung.unlink()  # building has run it
    with pytest.raises(ValueError, match=r"theirs\.keras cannot be loaded as a model: it holds code"):
        load_saved_model(tmp_path / "theirs.keras")
    assert not sprung.exists()


@pytest.mark.parametrize(
    "gadget",
    [
        {"module": "os", "class_name": "system", "config": "touch {sprung}"},
        {"module": "builtins", "class_name": "eval", "config": "open({sprung!r}, 'w')"},
        {"module": "keras.config", "class_name": "enable_unsafe_deserialization", "config": {}},
        {"module": "keras.utils", "class_name": "get_file", "config": {"origin": "file://{sprung}"}},
    ],
    ids=lambda gadget: gadget["class_name"],
)
def test_a_layer_that_is_no_layer_is_refused(saved, tmp_path, gadget):
    sprung = tmp_path / "sprung"
    text = json.dumps(gadget | {"registered_name": gadget["class_name"]})
    theirs = replaced(saved, "config.json", text.replace("{sprung}", str(sprung)).replace("{sprung!r}", repr(sprung)))
    with pytest.raises(ValueError, match="cannot be loaded as a model"):
        load_saved_model(theirs)
    assert not sprung.exists()


def test_pickled_weights_are_refused_and_not_unpickled(saved, tmp_path):
    sprung = tmp_path / "sprung"
    content = io.BytesIO()
    np.savez(content, conv2d=np.array([TouchesFile(sprung)], dtype=object))
    theirs = replaced(saved, "model.weights.npz", content.getvalue())
    with pytest.raises(ValueError, match="cannot be loaded as a model"):
        load_saved_model(theirs)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(TouchesFile(sprung)))
    assert sprung.exists()  # the trap works


def test_a_file_that_unpacks_to_gigabytes_is_refused(saved, tmp_path):
    bomb = tmp_path / "bomb.keras"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file, file.open("config.json", "w") as member:
        for _ in range(50):
            member.write(b" " * 2**20)
    with pytest.raises(ValueError, match=r"unpack to 52,428,800, more than 20 times as many"):
        load_saved_model(bomb)


@pytest.mark.parametrize("count", [60, pytest.param(3000, marks=pytest.mark.long)])
def test_a_damaged_file_is_an_error_in_a_line(saved, model, tmp_path, count):
    whole, choice, messages = saved.read_bytes(), random.Random(count), []
    for number in range(count):
        content = bytearray(whole)
        if number % 3:
            for _ in range(choice.choice([1, 4, 40])):
                content[choice.randrange(len(content))] ^= 1 << choice.randrange(8)
        else:
            del content[choice.randrange(len(content)) :]
        damaged = tmp_path / "damaged.keras"
        damaged.write_bytes(content)
        try:
            loaded = load_saved_model(damaged)
        except ValueError as error:
            messages.append(str(error))
        else:  # what was hit says nothing of the model, such as a file's time
            for value, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
                np.testing.assert_array_equal(value, expected)
    assert len(messages) > 0.8 * count
    assert all(message.startswith(f"{damaged} cannot be") and "\n" not in message for message in messages)
