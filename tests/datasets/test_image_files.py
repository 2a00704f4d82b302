"""Files are written by Pillow, OpenCV and tifffile; what is read is compared with the pixels they were given."""

import io
import random
import re
import resource
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps

from segtrain.datasets.image_files import image_size, read_image, read_palette, read_stored
from segtrain.datasets.mask_files import read_labels, read_mask
from segtrain.datasets.problems import BadSampleError

COLOURS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
GREY = COLOURS[..., :1]
DEEP = np.random.default_rng(1).integers(0, 65536, (40, 50, 3), np.uint16)
# Of the 16 bits, rounded to the nearest of 8.
DEEP_IN_EIGHT = np.round(DEEP / 65535 * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", COLOURS), ("RGBA", COLOURS), ("L", GREY.repeat(3, axis=2)), ("LA", GREY.repeat(3, axis=2))],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_images_become_rgb(tmp_path, mode, expected, suffix):
    source = Image.fromarray(GREY[..., 0]) if mode[0] == "L" else Image.fromarray(COLOURS)
    source.convert(mode).save(tmp_path / f"image{suffix}")
    image = read_image(tmp_path / f"image{suffix}")
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, expected)


def test_one_and_four_channels(tmp_path):
    alpha = COLOURS[..., 1]
    Image.fromarray(GREY[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([GREY[..., 0], alpha]), mode="LA").save(tmp_path / "grey_alpha.png")
    Image.fromarray(np.dstack([COLOURS, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(GREY[..., 0] > 127).save(tmp_path / "bit.png")
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png", channels=1), GREY)
    np.testing.assert_array_equal(read_image(tmp_path / "grey_alpha.png", channels=1), GREY)
    np.testing.assert_array_equal(read_image(tmp_path / "rgba.png", channels=4), np.dstack([COLOURS, alpha]))
    np.testing.assert_array_equal(read_image(tmp_path / "bit.png", channels=1), 255 * (GREY > 127))


@pytest.mark.parametrize(
    ("pixels", "suffix", "channels"),
    [
        (COLOURS, ".png", 1),
        (COLOURS, ".jpg", 4),
        (GREY, ".png", 4),
        (np.dstack([COLOURS, COLOURS[..., :2]]), ".tif", 3),
        (np.dstack([COLOURS, GREY]), ".tif", 3),  # four bands, none of which is alpha
    ],
)
def test_other_channels_are_refused_with_the_number_to_type(tmp_path, pixels, suffix, channels):
    path = tmp_path / f"image{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="minisblack", planarconfig="contig")
    else:
        Image.fromarray(pixels.squeeze()).save(path)
    with pytest.raises(ValueError, match=re.escape(f"{path}: holds {pixels.shape[2]} channels")) as error:
        read_image(path, channels=channels, is_settable=True)
    assert f"Type dataset.channels={pixels.shape[2]}," in str(error.value)
    with pytest.raises(BadSampleError, match=r"where \d are needed") as error:
        read_image(path, channels=channels)
    assert "dataset." not in str(error.value)
    assert error.value.kind == "wrong_format"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_upper_and_their_lower_bits(tmp_path, suffix, channels):
    """Pillow reads 16-bit colours as 8 bits, so OpenCV writes here and the values decide."""
    path = tmp_path / f"deep{suffix}"
    pixels = np.dstack([DEEP, DEEP[..., :1]])[..., :channels]
    if suffix == ".png":
        cv2.imwrite(str(path), pixels[..., [2, 1, 0, 3][:channels]] if channels > 1 else pixels)
    else:
        photometric = "minisblack" if channels == 1 else "rgb"
        tifffile.imwrite(path, pixels.squeeze(), photometric=photometric, extrasamples=["unassalpha"][: channels - 3])
    expected = np.dstack([DEEP_IN_EIGHT, DEEP_IN_EIGHT[..., :1]])[..., :channels]
    np.testing.assert_array_equal(read_image(path, channels=channels), expected)
    clipped = np.round(np.minimum(pixels / 4095, 1) * 255).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, channels=channels, white=4095), clipped)
    assert image_size(path) == (40, 50)


def test_a_deep_png_of_grey_and_alpha(tmp_path):
    """Neither Pillow nor OpenCV writes one, so the chunks are put together by hand."""
    pixels = DEEP[..., :2]
    parts = {
        b"IHDR": struct.pack(">IIBBBBB", 50, 40, 16, 4, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)),
        b"IEND": b"",
    }
    chunks = (
        struct.pack(">I", len(part)) + name + part + struct.pack(">I", zlib.crc32(name + part))
        for name, part in parts.items()
    )
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    for channels, expected in ((1, DEEP_IN_EIGHT[..., :1]), (2, DEEP_IN_EIGHT[..., :2])):
        np.testing.assert_array_equal(read_image(tmp_path / "deep.png", channels=channels), expected)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), DEEP_IN_EIGHT[..., :1].repeat(3, axis=2))


def test_pages_of_a_tiff_are_no_channels(tmp_path):
    tifffile.imwrite(tmp_path / "pages.tif", np.moveaxis(DEEP, -1, 0), photometric="minisblack")
    with pytest.raises(ValueError, match="Of its 3 pages only the first is read"):
        read_image(tmp_path / "pages.tif", channels=5)


def test_white_is_for_images_of_more_than_eight_bits(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tmp_path / "image.png", white=4095), COLOURS)


@pytest.mark.parametrize("compression", [None, "lzw", "deflate"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_of_a_tiff(tmp_path, compression, planar, dtype):
    bands = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (6, 9, 7), dtype)
    stored = np.moveaxis(bands, -1, 0) if planar == "separate" else bands
    path = tmp_path / "bands.tif"
    tifffile.imwrite(path, stored, photometric="minisblack", planarconfig=planar, compression=compression)
    expected = np.round(bands / np.iinfo(dtype).max * 255).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path, channels=7), expected)
    assert image_size(path) == (6, 9)


def test_a_fourth_band_that_is_no_alpha_is_kept(tmp_path):
    bands = np.dstack([COLOURS, GREY])
    tifffile.imwrite(tmp_path / "bands.tif", bands, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(read_image(tmp_path / "bands.tif", channels=4), bands)
    with pytest.raises(ValueError, match=r"Type dataset\.channels=4,"):
        read_image(tmp_path / "bands.tif", is_settable=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_float_tiff_is_refused_with_what_to_do(tmp_path, dtype):
    tifffile.imwrite(tmp_path / "image.tif", GREY.squeeze().astype(dtype))
    with pytest.raises(ValueError, match=r"image\.tif: holds float.. values.*integers of 8 or 16 bits"):
        read_image(tmp_path / "image.tif")
    with pytest.raises(ValueError, match=r"image\.tif: a mask has to hold one whole number.*float"):
        read_mask(tmp_path / "image.tif")


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.uint64])
def test_integers_of_more_than_sixteen_bits_need_their_white(tmp_path, dtype):
    """The highest of the type is far from any photo's white, so all would be black."""
    values = (GREY.squeeze().astype(dtype)) * 15
    tifffile.imwrite(tmp_path / "image.tif", values)
    with pytest.raises(BadSampleError, match=r"image\.tif: holds u?int.. values.*Type dataset\.white=VALUE"):
        read_image(tmp_path / "image.tif", channels=1, is_settable=True)
    with pytest.raises(BadSampleError, match=r"cannot be known\. Save it in integers of 8 or 16 bits\."):
        read_image(tmp_path / "image.tif", channels=1)
    read = read_image(tmp_path / "image.tif", channels=1, white=255 * 15)
    np.testing.assert_array_equal(read, GREY)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_tiff_whose_white_is_its_lowest_value_is_not_inverted_by_its_depth(tmp_path, dtype, compression):
    stored = (np.iinfo(dtype).max - GREY.squeeze() * dtype(np.iinfo(dtype).max // 255)).astype(dtype)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, stored, photometric="miniswhite", compression=compression)
    if dtype == np.uint8:
        with Image.open(path) as picture:
            np.testing.assert_array_equal(np.asarray(picture), GREY.squeeze())
    np.testing.assert_array_equal(read_image(path, channels=1), GREY)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\n%%EndComments\n0 0 8 6 rectfill\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
@pytest.mark.parametrize("kind", ["EPS", "PPM", "PCX"])
def test_formats_that_do_not_count_are_not_opened_under_another_ending(tmp_path, read, kind):
    """Of EPS, Pillow would have Ghostscript run what is in it."""
    if kind == "EPS":
        (tmp_path / "a.png").write_bytes(EPS)
    else:
        Image.fromarray(GREY.squeeze()).save(tmp_path / "a.png", format=kind)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.format == kind
    with pytest.raises(BadSampleError, match="in no image format that is known here: PNG, JPEG"):
        read(tmp_path / "a.png")


@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
@pytest.mark.parametrize("suffix", [".png", ".tif", "16.tif"])
def test_an_image_that_is_too_large_is_told_to_be_cut_into_tiles(tmp_path, monkeypatch, suffix, read):
    monkeypatch.setattr("segtrain.datasets.image_files.MOST_PIXELS", GREY.size - 1)
    path = tmp_path / f"image{suffix}"
    if suffix == ".png":
        Image.fromarray(GREY.squeeze()).save(path)
    else:
        tifffile.imwrite(path, GREY.squeeze().astype(np.uint16 if "16" in suffix else np.uint8))
    with pytest.raises(BadSampleError, match=r"40x50 pixels .* not decoded at once; cut image and mask into tiles"):
        read(path)


def test_a_mosaic_of_182_megapixels_is_read(tmp_path):
    Image.new("L", (14_000, 13_000)).save(tmp_path / "mosaic.png")
    assert image_size(tmp_path / "mosaic.png") == (13_000, 14_000)
    assert read_image(tmp_path / "mosaic.png", channels=1).shape == (13_000, 14_000, 1)


def test_a_cmyk_jpeg_is_rgb(tmp_path):
    """Inks are told apart by large areas, which JPEG keeps."""
    squares = np.zeros((32, 32, 3), np.uint8)
    squares[:16, :16], squares[16:, 16:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(squares).convert("CMYK").save(tmp_path / "image.jpg", quality=95)
    image = read_image(tmp_path / "image.jpg")
    assert image.shape == (32, 32, 3)
    assert np.abs(image.astype(int) - squares)[4:-4, 4:-4].mean() < 10


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(tmp_path, suffix, orientation):
    path, exif = tmp_path / f"image{suffix}", Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(COLOURS).save(path, exif=exif)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2] == ((40, 50) if orientation < 5 else (50, 40))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_images_and_masks_are_turned_too(tmp_path, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(GREY[..., 0]).save(tmp_path / "mask.png", exif=exif)
    with Image.open(tmp_path / "mask.png") as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), expected)
    tags = [("Orientation", "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "deep.tif", GREY.squeeze() * np.uint16(257), extratags=tags)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif", channels=1)[..., 0], expected)
    assert image_size(tmp_path / "deep.tif") == expected.shape


def test_a_palette_image_shows_its_colours_and_a_palette_mask_its_indices(tmp_path):
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4) % 3
    picture = Image.fromarray(indices, mode="P")
    picture.putpalette([0, 0, 0, 10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png"), indices)
    table = np.uint8([[0, 0, 0], [10, 20, 30], [200, 100, 50]])
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), table[indices])
    assert read_palette(tmp_path / "palette.png")[:3] == [(0, 0, 0), (10, 20, 30), (200, 100, 50)]
    Image.fromarray(indices).save(tmp_path / "grey.png")
    assert read_palette(tmp_path / "grey.png") is None


def test_a_transparent_colour_of_a_palette_is_alpha(tmp_path):
    picture = Image.fromarray(np.uint8([[0, 1]]), mode="P")
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.save(tmp_path / "palette.png", transparency=0)
    assert read_image(tmp_path / "palette.png", channels=4).tolist() == [[[10, 20, 30, 0], [200, 100, 50, 255]]]
    assert read_image(tmp_path / "palette.png").tolist() == [[[10, 20, 30], [200, 100, 50]]]


@pytest.mark.parametrize("read", [read_image, read_labels])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.9])
def test_a_cut_file_is_named(tmp_path, read, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    Image.fromarray(COLOURS[..., 0]).save(whole)
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read(path)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_cut_deep_file_is_named(tmp_path, suffix, share):
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    if suffix == ".png":
        cv2.imwrite(str(whole), DEEP)
    else:
        tifffile.imwrite(whole, np.dstack([DEEP, DEEP]), photometric="minisblack", planarconfig="contig")
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_image(path, channels=3 if suffix == ".png" else 6)


@pytest.mark.parametrize(
    ("content", "words"), [(b"", "it is empty"), (b"no image, a text", "in no image format that is known")]
)
@pytest.mark.parametrize("read", [read_image, read_mask, image_size])
def test_what_is_no_image_is_told(tmp_path, content, words, read):
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(ValueError, match=rf"image\.png: cannot be read as an image \(.*{words}"):
        read(tmp_path / "image.png")


def test_a_file_that_is_gone_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png: cannot be read as an image"):
        read_stored(tmp_path / "gone.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of tags that make no sense
@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "bands"])
def test_bytes_turned_over_are_never_another_error_than_one_that_names_the_file(tmp_path, kind):
    path, rng, refused = tmp_path / "noise.png", np.random.default_rng(0), 0
    if kind == "bands":
        tifffile.imwrite(path.with_suffix(".tif"), np.dstack([DEEP, DEEP]), photometric="minisblack")
        path = path.with_suffix(".tif")
    elif kind == "16 bits":
        cv2.imwrite(str(path), DEEP)
    else:
        Image.fromarray(COLOURS).save(path)
    whole = path.read_bytes()
    for _ in range(300):
        changed = bytearray(whole)
        for place in rng.integers(0, 120, 3):
            changed[place] = rng.integers(256)
        path.write_bytes(changed)
        try:
            read_image(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017  (which bytes are fatal is the decoder's affair)
            refused += 1
    assert refused > 200


# Files that somebody made to do harm, or that were damaged.


def png_of(height, width, data):
    """Returns a grey PNG that says it has that size, whatever its data is."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def peak_of(action):
    """Returns the bytes that Python and NumPy held at most meanwhile."""
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


READERS = [read_image, read_stored, read_mask, image_size]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("height", "width", "limit"),
    [(10, 100_000, "65,535"), (100_000, 10, "65,535"), (100_000, 100_000, "65,535"), (60_000, 60_000, "268,435,456")],
)
def test_an_image_of_more_pixels_than_the_limit_is_refused_before_it_is_decoded(tmp_path, read, height, width, limit):
    path = tmp_path / "image.png"
    path.write_bytes(png_of(height, width, zlib.compress(bytes(1000))))

    def refused():
        with pytest.raises(BadSampleError, match=rf"image\.png.*{height}x{width} pixels.*{limit}"):
            read(path)

    assert peak_of(refused) < 2**24


def test_a_tiff_of_more_bytes_than_the_limit_is_refused_before_it_is_decoded(tmp_path):
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((16, 16), np.uint16))
    content = bytearray((tmp_path / "image.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "image.tif") as tiff:
        tags = tiff.pages.first.tags
        for name, value in (("ImageWidth", 16_000), ("ImageLength", 16_000), ("SamplesPerPixel", 60_000)):
            struct.pack_into({3: "<H", 4: "<I"}[tags[name].dtype], content, tags[name].valueoffset, value)
    (tmp_path / "image.tif").write_bytes(content)
    with pytest.raises(BadSampleError, match=r"bytes when decoded, and more than 4,294,967,296"):
        read_stored(tmp_path / "image.tif")


def test_data_that_unpacks_to_more_than_the_image_is_not_unpacked(tmp_path):
    """A quarter of a gigabyte of zeros behind a header of 10x10."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(2**20)) for _ in range(250)) + packer.flush()
    (tmp_path / "image.png").write_bytes(png_of(10, 10, data))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert read_image(tmp_path / "image.png").shape == (10, 10, 3)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def encoded(format_name, pixels=COLOURS, **options):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format_name, **options)
    return content.getvalue()


def encoded_tiff(pixels, **options):
    content = io.BytesIO()
    tifffile.imwrite(content, pixels, photometric="rgb", **options)
    return content.getvalue()


FILES = {
    "png": encoded("PNG"),
    "png of 16 bits": cv2.imencode(".png", DEEP)[1].tobytes(),
    "jpeg": encoded("JPEG"),
    "progressive jpeg": encoded("JPEG", progressive=True),
    "tiff": encoded("TIFF", compression="tiff_lzw"),
    "tiff with jpeg": encoded("TIFF", compression="jpeg"),
    "tiff of 16 bits": encoded_tiff(DEEP, compression="zlib"),
    "tiff of tiles": encoded_tiff(DEEP, compression="lzw", tile=(16, 16)),
    "bmp": encoded("BMP"),
    "gif": encoded("GIF", COLOURS[..., 0]),
    "webp": encoded("WEBP"),
}


def damaged(content, choice):
    """Returns the content cut off somewhere, or with some bits turned over, often near its beginning."""
    content = bytearray(content)
    if choice.random() < 0.25:
        return content[: choice.randrange(len(content))]
    for _ in range(choice.choice([1, 2, 8, 30])):
        content[choice.randrange(min(len(content), choice.choice([64, 10**9])))] ^= 1 << choice.randrange(8)
    return content


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("count", [40, pytest.param(2000, marks=pytest.mark.long)])
def test_a_damaged_file_is_an_image_or_an_error_that_names_it(tmp_path, kind, count):
    path, choice, told = tmp_path / "image", random.Random(count), []
    for _ in range(count):
        path.write_bytes(damaged(FILES[kind], choice))
        for read in READERS:
            try:
                read(path)
            except BadSampleError as error:  # any other one fails the test
                told.append(str(error))
    assert len(told) > 0.2 * count
    assert all(str(path) in message and "\n" not in message for message in told)
