import io
import os
import random
import tarfile

import numpy as np
import pytest

from segtrain.datasets.voc2012_files import SAMPLE_BYTES, SAMPLES, FolderFiles, TarFiles

CONTENTS = {"a.txt": b"a", "images/b c.bin": bytes(range(256)) * 99, "images/übung.bin": b"", "images/deep/d": b"d"}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENTS.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "root"


def pack(folder, archive, form=tarfile.PAX_FORMAT, beginning="kit/root"):
    with tarfile.open(archive, "w", format=form) as tar:
        tar.add(folder, beginning)
    return archive


def test_a_folder_is_read_by_name(folder):
    files = FolderFiles(folder)
    assert {name: files.read(name) for name in CONTENTS} == CONTENTS
    assert "images" not in files
    assert "images/x" not in files
    with pytest.raises(ValueError, match=r"images/x cannot be read \(No such file"):
        files.read("images/x")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("beginning", ["kit/root", "./kit/root"])
def test_an_archive_is_read_by_the_same_names(tmp_path, folder, form, beginning):
    files = TarFiles(pack(folder, tmp_path / "a.tar", form, beginning), "kit/root")
    assert {name: files.read(name) for name in CONTENTS} == CONTENTS
    assert "images" not in files
    with pytest.raises(ValueError, match=r"a\.tar: kit/root/images/x cannot be read"):
        files.read("images/x")


def test_a_folders_fingerprint_is_that_of_the_files_named(folder):
    def fingerprint(*names):
        return FolderFiles(folder).fingerprint(names)

    whole, one = fingerprint("images", "a.txt", "none"), fingerprint("images")
    assert whole == fingerprint("images", "a.txt", "none") != one
    (folder / "a.txt").write_bytes(b"ab")
    assert fingerprint("images", "a.txt", "none") != whole
    assert fingerprint("images") == one
    os.utime(folder / "images" / "b c.bin", ns=(0, 1))
    touched = fingerprint("images")
    (folder / "images" / "b c.bin").rename(folder / "images" / "renamed.bin")
    assert len({one, touched, fingerprint("images")}) == 3


def test_an_archives_fingerprint_is_that_of_size_time_and_samples(tmp_path):
    archive = tmp_path / "a.tar"
    content = np.zeros(3 * SAMPLES * SAMPLE_BYTES, np.uint8)

    def fingerprint(time=1):
        archive.write_bytes(content.tobytes())
        os.utime(archive, ns=(time, time))
        return TarFiles(archive, "kit").fingerprint([])

    first = fingerprint()
    assert fingerprint() == first
    assert fingerprint(time=2) != first
    changed = {first}
    for place in (0, len(content) // (SAMPLES - 1) * 5, -1):
        content[place] = 1
        changed.add(fingerprint())
    assert len(changed) == 4
    content = content[:-1]
    assert fingerprint() not in changed


def test_members_that_leave_their_folder_are_passed_over_and_nothing_is_written(tmp_path):
    """Links too: an archive is read where it is, and never unpacked."""
    before = tmp_path / "a.tar"
    with tarfile.open(before, "w") as tar:
        for name in ("../out", "/tmp/segtrain-out", "kit/../../out", "kit/root/../../../out", "kit/root/a.txt"):
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo(f"kit/root/link {kind!r}")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
    files = TarFiles(before, "kit/root")
    assert "a.txt" in files
    for name in ("link b'2'", "link b'1'", "link b'3'", "../out", "/etc/passwd"):
        assert name not in files
    with pytest.raises(ValueError, match="cannot be read"):
        files.read("../../../../etc/passwd")
    assert os.listdir(tmp_path) == ["a.tar"]


@pytest.mark.parametrize("count", [100, pytest.param(3000, marks=pytest.mark.long)])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_damaged_archive_is_read_or_an_error_that_names_it(tmp_path, folder, form, count):
    whole, choice = pack(folder, tmp_path / "a.tar", form).read_bytes(), random.Random(count)
    damaged, told = tmp_path / "damaged.tar", []
    for number in range(count):
        content = bytearray(whole)
        if number % 3 == 0:
            content = content[: choice.randrange(len(content))]
        else:
            for _ in range(choice.choice([1, 4, 40])):
                content[choice.choice([choice.randrange(len(content)), choice.randrange(2048)])] ^= (
                    1 << choice.randrange(8)
                )
        damaged.write_bytes(content)
        files = TarFiles(damaged, "kit/root")
        for name in CONTENTS:
            try:
                files.read(name)
            except ValueError as error:  # any other one fails the test
                told.append(str(error))
    assert len(told) > count
    assert all(message.startswith(str(damaged)) and "\n" not in message for message in told)
