from segtrain.prediction.unreadable import UnreadableFilesError


def test_few_are_listed(tmp_path):
    error = UnreadableFilesError(["a.png: is empty", "b.png: is text"], 7, tmp_path / "log")
    assert str(error).splitlines() == [
        "2 of 7 files could not be read, and left out:", "  a.png: is empty", "  b.png: is text"
    ]  # fmt: skip


def test_of_many_the_first_are_listed_and_the_log_has_all(tmp_path):
    reasons = [f"{number}.png: is empty" for number in range(23)]
    log = tmp_path / "segtrain.log"
    log.write_text("before\n")
    error = UnreadableFilesError(reasons, 23, log)
    assert str(error).splitlines()[1:] == [f"  {reason}" for reason in reasons[:20]] + [f"  and 3 more, see {log}"]
    error.write_log()
    assert log.read_text().splitlines() == ["before", *reasons]
