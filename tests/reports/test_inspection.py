import copy
import io
import json
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from segtrain.datasets.problems import Problem, ProblemKind
from segtrain.inspection.findings import Findings
from segtrain.inspection.summary import problems_as_dict, summarise
from segtrain.inspection.survey import survey_split
from segtrain.reports import inspection as inspection_module
from segtrain.reports.inspection import (
    NOUNS,
    counted,
    print_inspection,
    print_problems,
    require_no_errors,
    write_inspection_page,
)
from segtrain.run_folder import RunFolder


@pytest.fixture(scope="module")
def surveys(shapes_dataset):
    return [survey_split(shapes_dataset, name, lambda problem: None) for name in shapes_dataset.splits]


@pytest.fixture
def inspection(shapes_dataset, surveys):
    """What inspect.json of `shapes` holds, with some problems that it does not have."""
    findings = Findings()
    for number in range(5):
        findings.tell(Problem("wrong_label", f"{number}.png", f"{number}.png: label 9 at row 1, column 2."))
    findings.tell(Problem("duplicate", "a[b].png", "a[b].png: the same pixels as <c>.png."))
    return summarise(shapes_dataset, surveys, findings, {}) | {"command": "segtrain inspect"}


def printed(function, *arguments, width=80):
    output = io.StringIO()
    function(Console(file=output, width=width), *arguments)
    return output.getvalue()


def write(folder, inspection, pictures=None):
    write_inspection_page(RunFolder(folder), inspection, pictures or {})
    return RunFolder(folder).inspection_page


def test_counts_are_those_of_the_masks(shapes_dataset, inspection):
    assert list(inspection["splits"]) == ["train", "val", "test"]
    for name, split in inspection["splits"].items():
        masks = [shapes_dataset.read(name, index)[1] for index in range(len(shapes_dataset.split(name)))]
        stack = np.stack(masks)
        assert split["count"] == split["read"] == len(masks)
        assert split["unusable"] == 0
        assert split["sizes"] == {"32x32": len(masks)}
        assert split["class_pixels"] == [int((stack == class_id).sum()) for class_id in range(5)]
        assert split["class_images"] == [int((stack == class_id).any((1, 2)).sum()) for class_id in range(5)]
        assert split["void_pixels"] == (stack == 255).sum()
        assert split["absent_classes"] == []
    train = inspection["splits"]["train"]
    frequencies = np.array(train["class_pixels"]) / (np.array(train["class_images"]) * 32 * 32)
    assert inspection["median_frequency_weights"] == pytest.approx(np.median(frequencies) / frequencies)


def test_a_class_that_is_absent_everywhere_does_not_break_the_json(tmp_path, shapes_dataset, surveys):
    emptied = copy.deepcopy(surveys)
    for survey in emptied:
        survey.class_pixels[3] = survey.class_images[3] = survey.pixels_of_images[3] = 0
    folder = RunFolder(tmp_path)
    folder.write_inspection(summarise(shapes_dataset, emptied, Findings(), {}))
    read = json.loads(folder.inspection.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert read["median_frequency_weights"][3] is None
    assert [weight is None for weight in read["median_frequency_weights"]] == [False, False, False, True, False]
    assert read["splits"]["val"]["absent_classes"] == ["triangle"]


def test_sizes_are_most_frequent_first(shapes_dataset, surveys):
    survey = copy.deepcopy(surveys[0])
    survey.sizes.clear()
    survey.sizes.update({(10, 20): 2, (30, 40): 5, (20, 10): 3})
    summary = summarise(shapes_dataset, [survey], Findings(), {})
    assert list(summary["splits"]["train"]["sizes"].items()) == [("30x40", 5), ("20x10", 3), ("10x20", 2)]


def test_every_kind_of_problem_has_a_name():
    assert set(NOUNS) == set(get_args(ProblemKind))
    assert counted("unreadable", 1) == "1 file that cannot be read"
    assert counted("unreadable", 1200) == "1,200 files that cannot be read"
    assert len({noun for nouns in NOUNS.values() for noun in nouns}) == 2 * len(NOUNS)


def test_the_tables_fit_80_columns(inspection):
    lines = printed(print_inspection, inspection | {"errors": {}, "warnings": {}, "problems": []}).splitlines()
    assert max(map(len, lines)) <= 80
    (triangle,) = [line.split() for line in lines if "triangle" in line]
    shares = [
        share
        for split in inspection["splits"].values()
        for share in (split["class_pixels"][3] / sum(split["class_pixels"]), split["class_images"][3] / split["count"])
    ]
    assert triangle[1:7] == [f"{share:.1%}" for share in shares]
    assert float(triangle[7]) == pytest.approx(inspection["median_frequency_weights"][3], abs=6e-4)
    (train,) = [line.split() for line in lines if line.split()[:1] == ["train"] and "32x32:" in line]
    assert train[1] == "24"


def test_long_names_and_many_sizes_fit_80_columns(inspection):
    names = ["a_class_with_quite_a_long_name_" * 3, "[bold]", "c", "d", "e"]
    split = inspection["splits"]["train"] | {"sizes": {f"{n}000x{n}000": 1 for n in range(1, 50)}}
    splits = dict.fromkeys(inspection["splits"], split)
    told = printed(print_inspection, inspection | {"class_names": names, "splits": splits, "errors": {}})
    assert max(map(len, told.splitlines())) <= 80
    assert "[bold]" in told
    assert "46 more" in " ".join(told.split())


def test_the_first_problems_of_each_kind_are_printed(inspection):
    lines = printed(print_problems, inspection).splitlines()
    assert lines == [
        "error 5 masks with values that are no class",
        *(f"  {number}.png: label 9 at row 1, column 2." for number in range(3)),
        "  and 2 more",
        "warning 1 image twice in one split",
        "  a[b].png: the same pixels as <c>.png.",
    ]


def test_a_long_message_stays_on_one_line_to_be_copied():
    findings = Findings()
    findings.tell(Problem("unreadable", "x", "x" * 500))
    assert "  " + "x" * 500 in printed(print_problems, problems_as_dict(findings)).splitlines()


def test_errors_are_raised_in_a_line_and_warnings_are_not(inspection):
    with pytest.raises(ValueError, match=r"^[^\n]*5 masks with values that are no class[^\n]*$") as error:
        require_no_errors(inspection)
    assert "twice" not in str(error.value)
    require_no_errors(inspection | {"errors": {}})
    with pytest.raises(ValueError, match=r"5 masks .* stands with each\. the augmentation cannot be used$"):
        require_no_errors(inspection, "the augmentation cannot be used")
    with pytest.raises(ValueError, match=r"^the augmentation cannot be used$"):
        require_no_errors(inspection | {"errors": {}}, "the augmentation cannot be used")


def test_the_page_shows_what_was_found(tmp_path, read_page, inspection):
    picture = tmp_path / "samples.png"
    Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(picture)
    page = read_page(write(tmp_path, inspection, {"Samples": picture}))
    assert page.pictures == [picture.read_bytes()]
    assert [load for load in page.loads if not load.startswith("data:image/png;base64,")] == []
    assert page.count("script") == page.count("link") == page.count("iframe") == 0
    splits, train, val, test = page.tables
    assert [row[:2] for row in splits[1:]] == [["train", "24"], ["val", "10"], ["test", "10"]]
    for table, name in ((train, "train"), (val, "val"), (test, "test")):
        pixels = inspection["splits"][name]["class_pixels"]
        assert [row[0] for row in table[1:]] == ["ground", "disc", "ring", "triangle", "cross"]
        assert [row[1] for row in table[1:]] == [f"{count / sum(pixels):.1%}" for count in pixels]
    weights = [float(row[3]) for row in train[1:]]
    assert weights == pytest.approx(inspection["median_frequency_weights"], abs=6e-4)
    assert page.text.count("label 9 at row 1, column 2.") == 5
    assert "a[b].png: the same pixels as <c>.png." in page.text
    assert "To paste" not in page.text


def test_the_page_lists_the_first_and_says_how_many_more(tmp_path, read_page, inspection, monkeypatch):
    assert inspection_module.PROBLEMS_ON_PAGE == 200
    monkeypatch.setattr(inspection_module, "PROBLEMS_ON_PAGE", 4)
    page = read_page(write(tmp_path, inspection | {"errors": {"wrong_label": 12345}}))
    assert page.text.count("label 9 at row") == 4
    assert "12,346" in page.text
    assert "12,345 masks with values that are no class" in page.text


def test_what_comes_from_outside_is_escaped(tmp_path, read_page, inspection):
    bad = "</pre><script>alert('x')</script>"
    problem = {"kind": "unreadable", "severity": "error", "file": bad, "detail": bad}
    changes = {
        "class_names": [bad, *"abcd"],
        "command": bad,
        "dataset": bad,
        "problems": [problem],
        "mask_values": {"looks_like": bad},
        "suggestion": {"typed": bad, "yaml": bad},
    }
    page = read_page(write(tmp_path, inspection | changes))
    assert page.source.count("<script") == 0
    assert page.text.count(bad) >= 8


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_names": [f"a_rather_long_class_name_{number}" * 2 for number in range(5)]},
        {"command": "segtrain inspect dataset.root=/home/somebody/" + "a_long_folder_name_" * 5},
        {
            "mask_values": {"looks_like": "colours"},
            "suggestion": {"typed": "dataset.classes={" + "a:[0,0,0]," * 50, "yaml": "dataset:\n  " + "a: b," * 90},
        },
    ],
    ids=["plain", "names", "command", "suggestion"],
)
def test_the_page_fits_a_phone(tmp_path, read_page, width_on_a_phone, inspection, changes):
    picture = tmp_path / "samples.png"
    Image.fromarray(np.zeros((400, 936, 3), np.uint8)).save(picture)
    page = read_page(write(tmp_path, inspection | changes, {"Samples": picture}))
    assert width_on_a_phone(page.source) <= 400
