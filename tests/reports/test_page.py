import pytest

from segtrain.reports.page import as_html, picture_source, show_score


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [(None, 3, "–"), (0.12345, 3, "0.123"), (0.0, 3, "0.000"), (12.6, 0, "13"), (1, 2, "1.00")],
)
def test_a_score_is_shown_with_its_digits(value, digits, shown):
    assert show_score(value, digits) == shown


def test_a_picture_is_its_own_source(tmp_path):
    (tmp_path / "dot.png").write_bytes(b"Man")
    assert picture_source(tmp_path / "dot.png") == "data:image/png;base64,TWFu"


def test_html_of_our_own_is_not_escaped():
    assert as_html("<svg/>").__html__() == "<svg/>"
