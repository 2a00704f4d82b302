import os

import pytest

from segtrain.command.completion import verb_to_complete

VERBS = ("train", "evaluate", "predict")


@pytest.mark.parametrize(
    ("line", "verb", "left", "offered"),
    [
        ("segtrain ", "train", "segtrain ", list(VERBS)),
        ("segtrain ev", "train", "segtrain ev", ["evaluate"]),
        ("segtrain model=", "train", "segtrain model=", []),
        ("segtrain evaluate spl", "evaluate", "segtrain spl", []),
        ("segtrain predict my/run=x input=a ov", "predict", "segtrain input=a ov", []),
        ("segtrain predict input=a ov", "predict", "segtrain input=a ov", []),
        ("segtrain bogus see", "train", "segtrain bogus see", []),
    ],
)
def test_the_verb_is_hidden_from_hydra(monkeypatch, capsys, line, verb, left, offered):
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert verb_to_complete(VERBS) == verb
    assert (os.environ["COMP_LINE"], os.environ["COMP_POINT"]) == (left, str(len(left)))
    assert capsys.readouterr().out.split() == offered


def test_the_cursor_stays_where_it_is_in_the_line(monkeypatch):
    monkeypatch.setenv("COMP_LINE", "segtrain predict input=a ov run=x")
    monkeypatch.setenv("COMP_POINT", "27")
    verb_to_complete(VERBS)
    assert os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])] == "segtrain input=a ov"
