import numpy as np
import pytest

from segtrain.evaluation.image_counts import ImageCounts, pixels_of, read_image_counts, write_image_counts


def make_counts(num_images=3, num_classes=4):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 2**32, (num_images, num_classes, 3), np.uint32)
    names = [f"bild é {number}, a\\b" for number in range(num_images)]
    return ImageCounts(names, [f"class {number}" for number in range(num_classes)], pixels, rng.random(num_images))


@pytest.mark.parametrize("num_images", [0, 1, 5])
def test_they_are_read_as_written(tmp_path, num_images):
    counts = make_counts(num_images)
    write_image_counts(tmp_path / "per_image.npz", counts)
    again = read_image_counts(tmp_path / "per_image.npz")
    assert (again.names, again.class_names) == (counts.names, counts.class_names)
    np.testing.assert_array_equal(again.pixels, counts.pixels)
    np.testing.assert_array_equal(again.boundary_f1, counts.boundary_f1)
    assert [path.name for path in tmp_path.iterdir()] == ["per_image.npz"]


def test_a_matrix_is_counted_by_hand():
    matrix = np.array([[5, 2, 0], [1, 7, 3], [0, 0, 0]])
    assert pixels_of(matrix).tolist() == [[5, 7, 6], [7, 11, 9], [0, 0, 3]]


def test_a_file_that_is_damaged_is_refused(tmp_path):
    """Every seventh byte in turn is changed: it is an error that names the file, or the same kind of thing."""
    path = tmp_path / "per_image.npz"
    write_image_counts(path, make_counts())
    whole, refusals = path.read_bytes(), []
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        try:
            read_image_counts(path)
        except ValueError as error:
            refusals.append(str(error))
    assert len(refusals) > len(whole) / 7 / 2
    assert all(f"{path} cannot be read" in refusal for refusal in refusals)


def test_other_arrays_are_refused(tmp_path):
    path, counts = tmp_path / "per_image.npz", make_counts()
    arrays = {name: np.asarray(getattr(counts, name)) for name in ("names", "class_names", "pixels", "boundary_f1")}
    others = [
        {"pixels": counts.pixels.astype(np.int64)},
        {"pixels": counts.pixels[:, :2]},
        {"boundary_f1": counts.boundary_f1[:2]},
        {"names": np.array([{}, {}, {}], object)},
    ]
    for other in others:
        np.savez(path, **(arrays | other))
        with pytest.raises(ValueError, match="per_image.npz cannot be read"):
            read_image_counts(path)
    np.savez(path, pixels=counts.pixels)
    with pytest.raises(ValueError, match="per_image.npz cannot be read"):
        read_image_counts(path)
    with pytest.raises(FileNotFoundError):
        read_image_counts(tmp_path / "none.npz")
