"""ImageNet's weights, which keras downloads: what is told where that fails. There is no network here."""

import os
import re
import urllib.error
from pathlib import Path

import keras
import pytest

from segtrain.models.encoders.imagenet import build_with_imagenet

OPTIONS = {"include_top": False, "input_shape": (None, None, 3)}


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty home of keras. Downloads go to the function it is given."""

    def use(download, home=tmp_path):
        monkeypatch.setenv("KERAS_HOME", str(home))  # read by keras when it is imported
        monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(home))
        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", download)
        return tmp_path

    return use


def unreachable(*_):
    raise urllib.error.URLError("no network")


def refusal(application=keras.applications.VGG16):
    with pytest.raises(ValueError, match=r"^model\.encoder\.weights=imagenet: ") as caught:
        build_with_imagenet(application, "model.encoder.weights", **OPTIONS)
    told = str(caught.value)
    assert told.endswith(", or type model.encoder.weights=null to start from random ones.")
    assert "\n" not in told
    return told.removeprefix("model.encoder.weights=imagenet: ")


@pytest.mark.parametrize("is_writable", [True, False])
def test_what_to_fetch_and_the_folder_that_keras_looks_in(keras_home, tmp_path, is_writable, capfd):
    """Keras uses another than its home where that cannot be written to."""
    asked = []

    def download(address, path, *_):
        asked.append((address, Path(path)))
        unreachable()

    keras_home(download, tmp_path if is_writable else tmp_path / "file" / "home")
    told = refusal()
    ((address, path),) = asked
    assert (path.parent == tmp_path / "models") is is_writable
    assert path.name == os.path.basename(address)
    words = f"the weights of VGG16 could not be downloaded: no network. Put {address} into {path.parent}, or type"
    assert told.startswith(words)
    assert capfd.readouterr().out == ""


def test_a_download_that_breaks_off_is_seen_on_the_terminal_and_told(keras_home, capsys):
    def download(address, path, hook):
        for block in range(3):
            hook(block, 8192, 1_000_000)
        raise ConnectionResetError(104, "Connection reset by peer")

    home = keras_home(download)
    told = refusal()
    assert re.search(rf"Connection reset by peer\. Put https://\S+notop\.h5 into {home}/models, or", told)
    output = capsys.readouterr().out
    assert output.startswith("Downloading data from https://")
    assert "0/1000000" in output


def test_a_damaged_file_that_keras_has_a_checksum_of_is_downloaded_anew(keras_home, capfd):
    home = keras_home(unreachable)
    path = home / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert f"no network (the file in {home}/models was damaged). Put https://" in refusal()
    assert capfd.readouterr().out == ""


def test_a_damaged_file_without_a_checksum_is_named(keras_home):
    """Keras has none of MobileNetV2's."""
    home = keras_home(unreachable)
    path = home / "models" / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    path.parent.mkdir()
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    told = refusal(keras.applications.MobileNetV2)
    assert told.startswith(f"{path} is damaged: ")
    assert "Delete it to have it downloaded again, or type" in told
