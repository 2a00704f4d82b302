import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

import segtrain
from segtrain.datasets.problems import BadSampleError
from segtrain.datasets.tfds_preparation import prepared, tfds_folder
from segtrain.datasets.tfds_split import TfdsSplit, decode_image, decode_mask, feature_paths

AS_IS = np.arange(256, dtype=np.uint8)
COUNT = 9


def encoded(pixels: np.ndarray | Image.Image, file_format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(file, file_format, **options)
    return file.getvalue()


def image_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (4 + number, 6, 3), np.uint8)


def mask_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 20, (4 + number, 6), np.uint8)


class Nested(tfds.core.GeneratorBasedBuilder):
    """Masks in a feature inside another; more images that nobody asks for; a name that has a slash in it."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image()
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": image,
                    "image/id": tfds.features.Text(),
                    "labels": {"mask": tfds.features.Image(shape=(None, None, 1)), "count": np.int64},
                    "unreadable": image,
                    "objects": tfds.features.Sequence({"crop": image}),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(range(COUNT)), "test": self._generate_examples(range(2))}

    def _generate_examples(self, numbers):
        for number in numbers:
            yield (
                f"key_{number}",
                {
                    "image": io.BytesIO(encoded(image_of(number))),
                    "image/id": f"photo.{number}.jpg",
                    "labels": {"mask": io.BytesIO(encoded(mask_of(number))), "count": number},
                    "unreadable": io.BytesIO(b"no image at all"),
                    "objects": [{"crop": io.BytesIO(b"nor this")}],
                },
            )


class Deep(tfds.core.GeneratorBasedBuilder):
    """Masks of 16 bits, in the order they are written in."""

    VERSION = tfds.core.Version("1.0.0")
    names = ("a", "b")

    def _info(self):
        features = {
            "image": tfds.features.Image(),
            "mask": tfds.features.Image(shape=(None, None, 1), dtype=np.uint16),
            "id": tfds.features.Text(),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for number, name in enumerate(self.names):
            mask = np.array([[[0], [255 + number]]], np.uint16)
            yield number, {"image": np.zeros((1, 2, 3), np.uint8), "mask": mask, "id": name}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEGTRAIN_DATA", str(tmp_path_factory.mktemp("data")))
        yield tfds_folder()


@pytest.fixture(scope="module")
def nested(data):
    return prepared(Nested(data_dir=data, file_format="array_record"))


def split_of(builder, split="train", **changes) -> TfdsSplit:
    arguments = {"image_key": "image", "mask_key": "labels/mask", "name_key": "image/id", "label_of": AS_IS}
    return TfdsSplit(builder, split, **(arguments | changes))


def test_every_sample_is_read_as_it_was_written(nested):
    split = split_of(nested)
    numbers = [int(split.name(index).removeprefix("photo.")) for index in range(len(split))]
    assert sorted(numbers) == list(range(COUNT))
    for index, number in enumerate(numbers):
        image, labels = split.read(index)
        np.testing.assert_array_equal(image, image_of(number))
        np.testing.assert_array_equal(labels, mask_of(number))
        assert (image.dtype, labels.dtype) == (np.uint8, np.uint8)
        assert split.sizes(index) == ((4 + number, 6), (4 + number, 6))
        assert split.source(index) == f"nested/1.0.0 train, photo.{number}"


def test_it_reads_what_tensorflow_reads(nested, tmp_path):
    for_tensorflow = prepared(Nested(data_dir=tmp_path, file_format="tfrecord"))
    decoders = {"unreadable": tfds.decode.SkipDecoding(), "objects": {"crop": tfds.decode.SkipDecoding()}}
    records = list(for_tensorflow.as_dataset("train", decoders=decoders).as_numpy_iterator())
    split = split_of(nested)
    places = {split.name(index): index for index in range(len(split))}
    assert len(records) == len(places) == COUNT
    for record in records:
        image, labels = split.read(places[record["image/id"].decode().removesuffix(".jpg")])
        np.testing.assert_array_equal(image, record["image"])
        np.testing.assert_array_equal(labels, record["labels"]["mask"][..., 0])


def test_samples_are_read_from_any_thread_in_any_order(nested):
    split = split_of(nested)
    order = np.random.default_rng(0).integers(0, COUNT, 400)
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda index: (split.name(index), split.read(index)), order))
    assert len(read) == 400
    for name, (image, labels) in read:
        number = int(name.removeprefix("photo."))
        np.testing.assert_array_equal(image, image_of(number))
        np.testing.assert_array_equal(labels, mask_of(number))


def test_values_become_labels(nested):
    label_of = np.random.default_rng(0).permutation(256).astype(np.uint8)
    split = split_of(nested, label_of=label_of)
    number = int(split.name(0).removeprefix("photo."))
    expected = [[label_of[value] for value in row] for row in mask_of(number)]
    np.testing.assert_array_equal(split.read(0)[1], expected)


def test_slices_and_chosen_samples(nested):
    whole = split_of(nested)
    names = [whole.name(index) for index in range(COUNT)]
    half, chosen = split_of(nested, "train[3:]"), split_of(nested, chosen=np.array([8, 0, 2]))
    assert [half.name(index) for index in range(len(half))] == names[3:]
    assert [chosen.name(index) for index in range(len(chosen))] == [names[8], names[0], names[2]]
    np.testing.assert_array_equal(chosen.read(1)[0], whole.read(0)[0])
    assert len(split_of(nested, "test")) == 2


def test_without_a_name_samples_have_their_place(nested):
    split = split_of(nested, name_key=None, chosen=[5])
    assert (split.name(0), split.source(0)) == ("000005", "nested/1.0.0 train, 000005")


def test_an_unknown_split_names_those_there_are(nested):
    with pytest.raises(ValueError, match=r"trian.*train.*test"):
        split_of(nested, "trian")


def test_a_sample_that_cannot_be_read_is_named(nested):
    split = split_of(nested, image_key="unreadable")
    for ask in (split.read, split.sizes):
        with pytest.raises(ValueError, match=r"^nested/1.0.0 train, photo.\d: cannot be read as image"):
            ask(0)


def test_data_in_another_format_is_refused(data, tmp_path):
    builder = prepared(Nested(data_dir=tmp_path, file_format="tfrecord"))
    with pytest.raises(ValueError, match=f"{tmp_path}.*ArrayRecord.*SEGTRAIN_DATA"):
        split_of(builder)


def test_reading_needs_no_tensorflow(nested, data, tmp_path):
    program = f"""
import sys
import numpy as np
import tensorflow_datasets as tfds
from segtrain.datasets.tfds_preparation import prepared
from segtrain.datasets.tfds_split import TfdsSplit
builder = prepared(tfds.builder_from_directory({str(nested.data_dir)!r}))
split = TfdsSplit(builder, "train[1:]", image_key="image", mask_key="labels/mask", name_key="image/id",
                  label_of=np.arange(256, dtype=np.uint8))
read = [(split.name(index), split.sizes(index), *split.read(index)) for index in range(len(split))]
print(len(read), sum(int(labels.sum()) for *_, labels in read), "tensorflow" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(segtrain.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    split = split_of(nested, "train[1:]")
    total = sum(int(split.read(index)[1].sum()) for index in range(len(split)))
    assert (run.stdout, run.returncode) == (f"{COUNT - 1} {total} False\n", 0), run.stderr


def test_keys_lead_to_features(nested):
    assert feature_paths(nested.info.features) == {
        "image": ("image",),
        "image/id": ("image/id",),
        "labels/mask": ("labels", "mask"),
        "labels/count": ("labels", "count"),
        "unreadable": ("unreadable",),
        "objects": ("objects",),
    }


# A smooth picture, which JPEG changes little.
RAMP = np.stack(np.broadcast_arrays(np.arange(64)[:, None] * 3, np.arange(80)[None] * 2, 90), -1).astype(np.uint8)


@pytest.mark.parametrize(
    ("file_format", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("BMP", "RGB"), ("PNG", "L"), ("PNG", "P"), ("GIF", "P"), ("PNG", "LA")],
)
def test_an_image_is_read_by_what_it_holds(file_format, mode):
    picture = Image.fromarray(RAMP).convert(mode)
    image = decode_image(encoded(picture, file_format), "sample")
    np.testing.assert_array_equal(image, np.asarray(picture.convert("RGB")))
    assert image.shape == (64, 80, 3)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_of_any_kind_is_rgb(mode):
    picture = Image.fromarray(RAMP).convert(mode)
    image = decode_image(encoded(picture, "JPEG", quality=95), "sample")
    expected = np.asarray(picture.convert("RGB")).astype(int)
    assert image.shape == (64, 80, 3)
    assert np.abs(image - expected).max() < 12


def test_what_follows_the_end_of_a_jpeg_is_nothing():
    whole = encoded(RAMP, "JPEG", quality=95)
    np.testing.assert_array_equal(decode_image(whole + b"\0garbage\xff\xd8", "sample"), decode_image(whole, "sample"))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_what_is_there_of_a_jpeg_is_read(share):
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    pixels = cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC)
    whole = encoded(pixels, "JPEG", quality=95)
    expected = cv2.imdecode(np.frombuffer(whole, np.uint8), cv2.IMREAD_COLOR_RGB).astype(int)
    cut = whole[: int(share * len(whole))]
    with pytest.raises(BadSampleError, match="^sample: cannot be read as image") as raised:
        decode_image(cut, "sample")
    assert raised.value.kind == "unreadable"
    image = decode_image(cut, "sample", takes_cut=True)
    assert image.shape == expected.shape
    rows_read = int(240 * (share - 0.1))
    assert np.abs(image[:rows_read] - expected[:rows_read]).max() <= 4
    assert np.abs(image - expected).max() > 30  # so something was missing


def test_a_turned_image_stays_as_its_mask_was_drawn():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a right angle
    whole = encoded(Image.fromarray(RAMP), "JPEG", exif=exif)
    assert decode_image(whole, "sample").shape == (64, 80, 3)
    assert decode_image(whole[: len(whole) * 3 // 4], "sample", takes_cut=True).shape == (64, 80, 3)


HEADERS = encoded(RAMP, "JPEG").partition(b"\xff\xda")[0] + b"\xff\xda\0\x0c\x03\1\0\2\x11\3\x11\0\x3f\0"


@pytest.mark.parametrize(
    "file", [b"", b"text", HEADERS[:100], HEADERS], ids=["empty", "text", "cut early", "no pixels"]
)
def test_what_cannot_be_read_at_all_is_named(file):
    with pytest.raises(ValueError, match="^cat_1: cannot be read as image"):
        decode_image(file, "cat_1", takes_cut=True)


VALUES = np.random.default_rng(0).integers(0, 256, (5, 7), np.uint8)


def palette_picture():
    picture = Image.fromarray(VALUES, "P")
    picture.putpalette(list(np.random.default_rng(1).permutation(256)) * 3)
    return picture


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.fromarray(VALUES), VALUES),
        (palette_picture(), VALUES),
        (Image.fromarray(np.stack([VALUES, VALUES // 2, VALUES // 3], -1)), VALUES),
        (Image.fromarray(VALUES > 127), VALUES > 127),
        (Image.fromarray(VALUES.astype(np.uint16) * 9), VALUES.astype(np.uint16) * 9),
    ],
    ids=["grey", "palette", "colour", "bits", "16 bits"],
)
def test_a_mask_holds_values(picture, expected):
    values = decode_mask(encoded(picture), "sample")
    np.testing.assert_array_equal(values, expected)
    assert np.issubdtype(values.dtype, np.unsignedinteger)


def test_a_mask_is_read_to_its_end_or_not_at_all():
    whole = encoded(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8))
    with pytest.raises(ValueError, match="^cat_1: cannot be read as mask"):
        decode_mask(whole[: len(whole) // 2], "cat_1")


def test_a_value_without_a_label_is_refused(nested):
    split = split_of(nested, label_of=AS_IS[:10])  # the masks have values up to 19
    with pytest.raises(ValueError, match=r"nested/1.0.0 train, photo.\d: the mask holds 1\d at row ") as raised:
        split.read(0)
    number = int(split.name(0).removeprefix("photo."))
    row, column = next((row, column) for row, column in np.ndindex(4 + number, 6) if mask_of(number)[row, column] > 9)
    assert f"holds {mask_of(number)[row, column]} at row {row}, column {column}. " in str(raised.value)
    assert "have to be 0..9. " in str(raised.value)
    assert raised.value.kind == "wrong_label"


def test_a_value_above_255_is_refused(tmp_path):
    builder = prepared(Deep(data_dir=tmp_path, file_format="array_record"))
    split = TfdsSplit(builder, "train", image_key="image", mask_key="mask", name_key="id", label_of=AS_IS)
    np.testing.assert_array_equal(split.read_labels(0), [[0, 255]])
    with pytest.raises(BadSampleError, match=r"train, b: the mask holds 256 at row 0, column 1\. .* 0\.\.255\."):
        split.read(1)


def test_a_jpeg_holds_no_labels():
    with pytest.raises(BadSampleError, match="^cat_1: the mask is a JPEG") as raised:
        decode_mask(encoded(VALUES, "JPEG"), "cat_1")
    assert raised.value.kind == "wrong_format"


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_deep_masks_have_one_channel(channels):
    import tensorflow as tf

    file = tf.io.encode_png(np.full((4, 5, channels), 5, np.uint16)).numpy()
    with pytest.raises(BadSampleError, match="^cat_1: the mask is a PNG of 16 bits"):
        decode_mask(file, "cat_1")
    np.testing.assert_array_equal(decode_mask(tf.io.encode_png(np.full((4, 5, 1), 5, np.uint16)).numpy(), "cat_1"), 5)


@pytest.mark.parametrize(
    ("name", "expected"), [("photo.1", "photo.1"), ("photo.1.JPG", "photo.1"), ("a/b.c/d.png", "a/b.c/d"), ("x", "x")]
)
def test_only_an_image_suffix_is_cut_from_a_name(tmp_path, monkeypatch, name, expected):
    monkeypatch.setattr(Deep, "names", [name, "other"])
    builder = prepared(Deep(data_dir=tmp_path, file_format="array_record"))
    split = TfdsSplit(builder, "train", image_key="image", mask_key="mask", name_key="id", label_of=AS_IS)
    assert split.name(0) == expected
