"""CONTRIBUTING.md, followed to the letter in a copy of the checkout."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
SECTION = re.search(
    r"^## A model in three files\n(.*?)^## ", (CHECKOUT / "CONTRIBUTING.md").read_text("utf-8"), re.M | re.S
)[1]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout with the three files as the section shows them."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("segtrain", "conf", "tests"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(CHECKOUT / "pyproject.toml", copy)
    steps = re.findall(r"^\d\. `(\S+)`.*?```\w+\n(.*?)^ +```", SECTION, re.M | re.S)
    assert [name for name, _ in steps] == [
        "segtrain/models/yournet.py",
        "conf/model/yournet.yaml",
        "tests/models/test_yournet.py",
    ]
    for name, content in steps:
        assert not (copy / name).exists()
        (copy / name).write_text(textwrap.dedent(content), encoding="utf-8")
    return copy


def commands():
    (block,) = re.findall(r"^```bash\n(.*?)^```", SECTION, re.M | re.S)
    return [shlex.split(line, comments=True) for line in block.splitlines()]


def test_there_are_commands_to_try():
    assert [command[0] for command in commands()] == ["segtrain", "segtrain", "pytest", "pytest"]


@pytest.mark.parametrize(
    "command",
    [pytest.param(command, marks=pytest.mark.long) if command[0] == "pytest" else command for command in commands()],
    ids=" ".join,
)
def test_a_model_in_three_files_runs(checkout, command):
    # The copy's package, and not the one that is installed.
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    finished = subprocess.run(
        [sys.executable, "-m", *command], cwd=checkout, env=environment, capture_output=True, text=True, timeout=600
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    if command[0] == "pytest":
        assert int(re.search(r"(\d+) passed", finished.stdout)[1]) >= (6 if "-k" in command else 1)
    elif command[1] == "summary":
        assert (checkout / "outputs").exists()
        assert "yournet" in finished.stdout
    else:
        assert "best validation mIoU" in finished.stdout
