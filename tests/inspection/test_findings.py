from typing import get_args

from segtrain.datasets.problems import Problem, ProblemKind
from segtrain.inspection import findings as findings_module
from segtrain.inspection.findings import Findings

# What a run stops at, or what makes its score worthless.
SERIOUS = {
    "unreadable", "missing_mask", "ambiguous_name", "wrong_format", "size_mismatch", "wrong_label", "empty_split",
    "leakage",
}  # fmt: skip


def test_every_kind_is_an_error_or_a_warning():
    findings = Findings()
    for kind in get_args(ProblemKind):
        findings.tell(Problem(kind, "a.png", f"a.png: {kind}"))
    assert set(findings.counts("error")) == SERIOUS
    assert set(findings.counts("warning")) == {"missing_image", "all_void", "duplicate", "absent_class"}
    assert set(findings.counts("error")) | set(findings.counts("warning")) == set(get_args(ProblemKind))


def test_a_kind_may_be_more_serious_than_usual():
    findings = Findings()
    findings.tell(Problem("absent_class", "val", "warns"))
    findings.tell(Problem("absent_class", "train", "stops"), serious=True)
    assert findings.counts("error") == findings.counts("warning") == {"absent_class": 1}
    assert [finding.as_dict() for finding in findings.kept()] == [
        {"kind": "absent_class", "severity": "error", "file": "train", "detail": "stops"},
        {"kind": "absent_class", "severity": "warning", "file": "val", "detail": "warns"},
    ]


def test_all_are_counted_and_the_first_of_each_kind_are_kept(monkeypatch):
    monkeypatch.setattr(findings_module, "MOST_KEPT_OF_A_KIND", 3)
    findings = Findings()
    for number in range(10):
        findings.tell(Problem("duplicate", f"{number}.png", "twice"))
        findings.tell(Problem("wrong_label", f"{number}.png", "wrong"))
    findings.tell(Problem("unreadable", "a.png", "empty"))
    assert findings.counts("error") == {"unreadable": 1, "wrong_label": 10}
    assert findings.counts("warning") == {"duplicate": 10}
    assert [(finding.problem.kind, finding.problem.file) for finding in findings.kept()] == [
        ("unreadable", "a.png"),
        *(("wrong_label", f"{number}.png") for number in range(3)),
        *(("duplicate", f"{number}.png") for number in range(3)),
    ]
