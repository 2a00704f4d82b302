"""What is read from a source has to be what Python sees once the source is imported."""

import functools
import importlib
import inspect
import json
import operator
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest
import yaml

from segtrain.checks.signatures import read_signature

CONF = Path(__file__).parents[2] / "conf"
# Objects that the run or the config hands over, and choices among another module's constants: only importing would tell
# their types.
UNTOLD = {
    "folder",
    "validation",
    "evaluator",
    "describe_step",
    "tell",
    "class_balance",
    "interpolation",
    "mask_interpolation",
    "border_mode",
}
# An alias for classes of the library's own.
UNTOLD_ALIASES = {"TransformsSeqType"}

MODULE = '''
import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

import annotated_types
from annotated_types import Ge, Gt, Le, Len, Lt

from segtrain.datasets.dataset import CacheChoice

Choice = Literal["a", "b c", "d=e"]
Share = Annotated[float, Ge(0), Le(1)]


def build(
    first: int,
    /,
    second: float = 0.5,
    *,
    name: str | None = None,
    flag: bool = False,
    choice: Choice = "a",
    several: list[Choice] | None = None,
    share: Share = 0.5,
    cache: CacheChoice = "auto",
    whole: Annotated[int, Ge(-1), Lt(10)] = 0,
    pair: Annotated[list[Annotated[int, Ge(1)]], Len(2, 2)] = [1, 2],
    either: int | Annotated[float, Gt(0)] | str = 1,
    some: tuple[int, ...] = (),
    mapping: Mapping[str, float] | None = None,
    sequence: Sequence[str] = (),
    table: dict[str, list[int]] = {},
    dotted: typing.Annotated[int, annotated_types.Ge(3)] = 3,
    mixed: Literal[None, 1, -2, "x", True] = None,
    anything: Any = None,
    made: Callable[..., Any],
    called: Callable[[int, str], float] | None = None,
    required: int,
) -> object:
    """Builds.

    Longer text with a colon: here.

    Args:
        second: the second, which
            goes on here.
        name: a name.
        required: needed: always.

    Returns:
        flag: nothing of the kind.
    """


def build_with_more(width: int = 3, *rest, **more):
    pass


class Base:
    def __init__(self, *, size: int, depth: int = 2):
        """Makes one."""

    @classmethod
    def tiny(cls, size: int):
        return cls(size=size)


class Heir(Base):
    pass


class OtherHeir(Heir):
    """Has more."""

    def other(self, __init__=3):
        pass


def decorate(function):
    return function


@decorate
def build_decorated(width: int = 3):
    pass


build_narrow = functools.partial(build_with_more, width=1)
'''


def targets_in(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["_target_"]} if "_target_" in node else set()
        return own.union(*map(targets_in, node.values()))
    return set().union(*map(targets_in, node)) if isinstance(node, list) else set()


def all_targets() -> list[str]:
    # Hydra builds its own part, whose plugins may not be installed.
    files = sorted(file for file in CONF.rglob("*.yaml") if CONF / "hydra" not in file.parents)
    return sorted(set().union(*(targets_in(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files)))


def imported(target: str) -> tuple[Any, Any]:
    module_name, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module_name), name), module_name


def expected_type(name: str, parameter: inspect.Parameter, owner: Any) -> Any:
    members = get_args(parameter.annotation) if isinstance(parameter.annotation, UnionType) else [parameter.annotation]
    if any(get_origin(member) is Callable for member in members):  # with what it is called is not told
        return functools.reduce(operator.or_, [get_origin(member) or member for member in members])
    if name in UNTOLD or parameter.annotation in UNTOLD_ALIASES:
        return Any | None if type(None) in get_args(parameter.annotation) else Any
    if parameter.annotation is parameter.empty:  # Keras: the default tells a switch and a number
        return {bool: bool, int: float, float: float}.get(type(parameter.default), Any)
    if isinstance(parameter.annotation, str):
        return eval(parameter.annotation, vars(sys.modules[owner.__module__]))
    return parameter.annotation


def assert_agrees(target: str) -> None:
    read, (owner, _) = read_signature(target), imported(target)
    real = inspect.signature(owner).parameters.values()
    named = {p.name: p for p in real if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    assert list(read.parameters) == list(named)
    assert read.takes_any == any(p.kind == p.VAR_KEYWORD for p in real)
    for name, parameter in named.items():
        assert read.parameters[name].has_default == (parameter.default is not parameter.empty), name
        assert read.parameters[name].type == expected_type(name, parameter, owner), name


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes MODULE into a package, under a name of its own since reading remembers; returns the package's name."""
    package = tmp_path / f"own_{tmp_path.name}"
    (package / "deep").mkdir(parents=True)
    (package / "parts.py").write_text(MODULE)
    (package / "__init__.py").write_text("from .deep import *\nfrom .parts import build as construct\n")
    (package / "deep" / "__init__.py").write_text("from ..parts import Heir, OtherHeir\nfrom . import sibling\n")
    (package / "deep" / "sibling.py").write_text("from ..parts import Base\n\n\nclass Child(Base):\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package.name


def test_the_configs_name_targets():
    assert len(all_targets()) >= 27


@pytest.mark.parametrize("target", all_targets())
def test_it_is_what_python_sees(target):
    assert_agrees(target)


@pytest.mark.parametrize(
    "target",
    [
        "albumentations.Normalize",
        "albumentations.GaussNoise",
        "albumentations.Rotate",
        "albumentations.augmentations.geometric.rotate.Rotate",
        "json.dumps",
        "xml.dom.minidom.parse",
        "keras.callbacks.CSVLogger",
        "keras.callbacks.LambdaCallback",
        "keras.losses.Dice",
        "keras.optimizers.Adam",
    ],
)
def test_other_libraries(target):
    """Re-exports, decorators, packages in packages: by name, since not every annotation there can be told."""
    read, (owner, _) = read_signature(target), imported(target)
    real = inspect.signature(owner).parameters
    assert {name: read.parameters[name].has_default for name in read.parameters} == {
        name: p.default is not p.empty for name, p in real.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


@pytest.mark.parametrize(
    "name",
    [
        *(f"parts.{name}" for name in ("build", "build_with_more", "build_decorated", "Base", "Heir", "OtherHeir")),
        "construct",
        "Heir",
        "deep.OtherHeir",
        "deep.sibling.Child",
        "deep.sibling.Base",
    ],
)
def test_every_form_of_signature(module, name):
    assert_agrees(f"{module}.{name}")


def test_descriptions_are_the_docstrings(module):
    parameters = read_signature(f"{module}.parts.build").parameters
    assert {name: p.description for name, p in parameters.items() if p.description} == {
        "second": "the second, which goes on here.",
        "name": "a name.",
        "required": "needed: always.",
    }


@pytest.mark.parametrize("name", ["parts.build_narrow", "parts.Base.tiny"])
def test_what_exists_and_cannot_be_read_is_unknown(module, name):
    """A partial or a class method is a right target all the same."""
    assert read_signature(f"{module}.{name}") is None


def test_types_that_come_with_a_star_are_known(tmp_path, monkeypatch):
    source = "from segtrain.datasets.dataset import *\n\ndef build(*, cache: CacheChoice = 'auto', size: int = 1): ..."
    (tmp_path / "starred.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert_agrees("starred.build")


@pytest.mark.parametrize("target", ["math.hypot", "builtins.dict", "os.system"])
def test_what_is_compiled_is_unknown(target):
    assert read_signature(target) is None


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("segtrain.models.nope.build", "no module 'segtrain.models.nope'"),
        ("segtrain.nope.segnet.build", "no module 'segtrain.nope.segnet'"),
        ("nope.build", "no module 'nope'"),
        ("segtrain.models.segnet.build_segnett", "'segtrain.models.segnet' has no 'build_segnett'"),
        ("segtrain.models.segnet.keras_", "'segtrain.models.segnet' has no 'keras_'"),
        ("keras.callbacks.EarlyStoping", "'keras.callbacks' has no 'EarlyStoping'"),
        ("albumentations.Blurr", "'albumentations' has no 'Blurr'"),
        ("build_segnet", "'build_segnet'"),
        ("segtrain..build", "'segtrain..*'"),
    ],
)
def test_what_does_not_exist_is_named(target, words):
    with pytest.raises(ValueError, match=words) as caught:
        read_signature(target)
    assert "''" not in str(caught.value)


def test_reading_imports_nothing():
    targets = [
        "keras.callbacks.EarlyStopping",
        "albumentations.RandomResizedCrop",
        "segtrain.models.segnet.build_segnet",
    ]
    script = (
        "import json, sys; from segtrain.checks.signatures import read_signature; before = set(sys.modules)\n"
        f"counts = [len(read_signature(target).parameters) for target in {targets}]\n"
        "print(json.dumps([counts, sorted({name.partition('.')[0] for name in set(sys.modules) - before})]))"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    counts, new = json.loads(finished.stdout)
    assert counts == [8, 7, 6]
    assert not set(new) & {"keras", "albumentations", "tensorflow", "cv2", "numpy"}
