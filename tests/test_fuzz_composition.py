"""Command lines and config files made at random: each is run as typed, or refused in a line before anything runs."""

import contextlib
import io
import sys
from pathlib import Path
from unittest import mock

import hydra
import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies
from omegaconf import OmegaConf

from segtrain import cli
from segtrain.settings import GIVEN_BY_RUN, TrainSettings

CONF = cli.config_folder()
GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
OPTIONS = [f"{path.parent.relative_to(CONF)}={path.stem}" for path in sorted(CONF.glob("[!h]*/**/*.yaml"))]
OF_OTHER_VERBS = ["run", "input", "output", "format", "tta", "split", "scale", "sliding_window", "overlap", "measure"]

# Right for one key and wrong for the next.
TYPED = [
    *("0", "1", "-1", "2", "11", "0.5", "1e-3", "1e400", "nan", "inf", "4294967296", "99999999999999999999", "0x10"),
    *("true", "false", "null", "none", "???", "", "''", '""', "[]", "{}", "[1]", "[32,48]", "[32,48,64]", "[0,-1]"),
    *("[null,null]", "[a,b]", "{a:1}", "{_target_:os.system}", "{_target_:segtrain.models.segnet.build_segnet}"),
    *(
        "segnet",
        "segnt",
        "shapes",
        "imagenet",
        "auto",
        "one",
        "mirrored",
        "float32",
        "val_mean_iou",
        "median_frequency",
    ),
    *("${seed}", "${nope}", "${seed", "${oc.env:NOPE}", "${oc.env:HOME}", "${hydra:runtime.cwd}", "$HOME", "~/x"),
    *(
        "a b",
        "a,b",
        "'a",
        'a"',
        "a'b",
        "a=b",
        "a\\",
        "\\,",
        "it's",
        "übung/写真",
        "\u202e",
        "a\tb",
        "a\nb",
        "#",
        "a: b",
    ),
    *(
        "range(1,3)",
        "choice(1,2)",
        "interval(0,1)",
        "glob(*)",
        "shuffle(1,2)",
        "1,2,3",
        "[1,2",
        "{a",
        ")",
        "(",
        "!!python",
    ),
]
values = strategies.one_of(
    strategies.sampled_from(TYPED),
    strategies.integers().map(str),
    strategies.floats().map(str),
    strategies.text(max_size=12),
)


def _leaves():
    """Every dotted key that a run may set, of its default options and of some with more of them."""
    others = [
        "model=fcn8s",
        "dataset=folder",
        "augmentation=strong",
        "loss=focal",
        "callbacks=[default,early_stopping]",
    ]
    keys = set()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        for overrides in ([], others):
            pending = [(key, value) for key, value in _plain(hydra.compose("config", overrides)).items()]
            while pending:
                key, value = pending.pop()
                keys.add(key)
                if isinstance(value, dict):
                    pending += [(f"{key}.{name}", inner) for name, inner in value.items()]
    return sorted(keys)


def _plain(config):
    return OmegaConf.to_container(config)


KEYS = _leaves()
# One letter off, or cut short.
misspelt = strategies.sampled_from(KEYS).flatmap(
    lambda key: strategies.integers(0, len(key) - 1).map(lambda place: key[:place] + key[place + 1 :])
)
keys = strategies.one_of(
    strategies.sampled_from(KEYS),
    strategies.sampled_from(GROUPS),
    misspelt,
    strategies.sampled_from([*OF_OTHER_VERBS, "hydra.run.dir", "hydra.job.name", "hydra.verbose", "hydra", "model@x"]),
    strategies.text(max_size=6),
)
assignments = strategies.builds(
    lambda prefix, key, value: f"{prefix}{key}={value}",
    strategies.sampled_from(["", "", "", "+", "++", "~"]),
    keys,
    values,
)
words = strategies.one_of(
    strategies.sampled_from(OPTIONS),
    strategies.sampled_from(OPTIONS),
    assignments,
    assignments,
    strategies.sampled_from(
        ["~callbacks", "~model", "model", "=", "==", "-", "--cfg", "--nope", "--multirun", "-m", "."]
    ),
    strategies.text(max_size=8),
)
verbs = strategies.sampled_from(["", "", "", "", "train", *cli.SCHEMAS, "trian"])
command_lines = strategies.builds(
    lambda verb, rest: [*filter(None, [verb]), *rest], verbs, strategies.lists(words, max_size=5)
)


def outcome(*arguments: str) -> tuple[int, list, str]:
    """Runs a command line, whose verb is replaced by a note. Returns status, settings noted, and what stderr says."""
    noted, errors = [], io.StringIO()
    status = 0
    with (
        contextlib.ExitStack() as replaced,
        mock.patch.object(sys, "argv", ["segtrain"]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(errors),
    ):
        for verb in cli.SCHEMAS:
            note = mock.patch(f"segtrain.verbs.{verb}.{verb}", lambda settings, *_: noted.append(settings))
            replaced.enter_context(note)
        try:
            cli.main(list(arguments))
        except SystemExit as end:
            status = end.code or 0
    return status, noted, errors.getvalue()


def assert_run_or_refused(*arguments: str) -> bool:
    """Returns whether the command line was run."""
    status, noted, errors = outcome(*arguments)
    lines = errors.splitlines()
    assert "Traceback" not in errors
    assert "(unexpected; the traceback" not in errors
    if status == 0:
        return bool(noted)
    if noted:  # a sweep, which misses the results of what was a note only
        assert {"-m", "--multirun"} & set(arguments), f"{arguments} was run, and then the status was {status}: {errors}"
        return True
    assert status == cli.STATUS_OF_USAGE_ERROR, errors
    assert len(lines) == 1, errors
    assert lines[0].startswith("segtrain: error: ")
    assert len(lines[0]) > len("segtrain: error: ") + 5
    return False


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch, kept_logging):
    monkeypatch.chdir(tmp_path)


def at_random(examples: int):
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@at_random(80)
@given(command_lines)
def test_a_command_line_is_run_or_refused(arguments):
    assert_run_or_refused(*arguments)


@pytest.mark.long
@at_random(2000)
@given(command_lines)
def test_two_thousand_command_lines_are_run_or_refused(arguments):
    assert_run_or_refused(*arguments)


# Files. What a person writes into an option of their own, from a builder's name with odd arguments to no YAML at all.
scalars = strategies.one_of(
    strategies.none(), strategies.booleans(), strategies.integers(), strategies.floats(), strategies.sampled_from(TYPED)
)
targets = sorted(
    {
        line.partition("_target_: ")[2].split()[0]
        for path in CONF.rglob("*.yaml")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("_target_: ")
    }
)
arguments_of_option = strategies.dictionaries(
    strategies.one_of(
        strategies.sampled_from(sorted({key.rpartition(".")[2] for key in KEYS})), strategies.text(max_size=5)
    ),
    strategies.one_of(
        scalars,
        strategies.lists(scalars, max_size=3),
        strategies.dictionaries(strategies.text(max_size=3), scalars, max_size=2),
    ),
    max_size=4,
)
options = strategies.one_of(
    strategies.builds(
        lambda target, rest: yaml.safe_dump({"_target_": target, **rest}, allow_unicode=True),
        strategies.sampled_from(
            [*targets, "os.system", "subprocess.run", "segtrain", "nope.nope", "builtins.eval", "", 3]
        ),
        arguments_of_option,
    ),
    arguments_of_option.map(yaml.safe_dump),
    strategies.sampled_from(
        ["", "[]", "a", "a: b: c", "\t", "- 1", "!!python/object/apply:os.system [ls]", "a: &a [*a]", "%"]
    ),
    strategies.text(max_size=30),
)


def write_option(group: str, text: str) -> list[str]:
    """Writes an option of that group into a folder of configs. Returns the arguments that choose it."""
    file = Path("own") / group / "mine.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    return ["--config-dir", "own", f"{group}=mine"]


@at_random(40)
@given(strategies.sampled_from(sorted({*GIVEN_BY_RUN, "experiment"})), options)
def test_an_option_of_ones_own_is_run_or_refused(group, text):
    assert_run_or_refused(*write_option(group, text))


@pytest.mark.long
@at_random(1000)
@given(strategies.sampled_from(sorted({*GIVEN_BY_RUN, "experiment"})), options)
def test_a_thousand_options_of_ones_own_are_run_or_refused(group, text):
    assert_run_or_refused(*write_option(group, text))


@pytest.mark.parametrize(
    ("arguments", "is_run"),
    [
        (["model=segnet"], True),
        (["batch_size=2", "model.width=8"], True),
        (["model=segnt"], False),
        (["model.width=0"], False),
    ],
)
def test_what_is_known_to_be_right_or_wrong_is_told_apart(arguments, is_run):
    """Else what stands above could pass by refusing everything, or nothing."""
    assert assert_run_or_refused(*arguments) == is_run


def test_keys_and_options_are_those_of_the_configs():
    assert len(KEYS) > 60
    assert len(OPTIONS) > 60
    assert len(targets) > 40
    assert {field.partition(".")[0] for field in KEYS} >= set(TrainSettings.__dataclass_fields__) - {"stand_in"}
