import pytest

from segtrain.command.command_line import read_command_line
from segtrain.config_error import ConfigError


@pytest.mark.parametrize(
    ("typed", "verb", "options", "overrides"),
    [
        ("", "train", "", ""),
        ("seed=1", "train", "", "seed=1"),
        ("train seed=1", "train", "", "seed=1"),
        # Options stand anywhere among the settings.
        ("-m seed=1,2 model=a", "train", "-m", "seed=1,2 model=a"),
        ("model=a -m seed=1,2", "train", "-m", "model=a seed=1,2"),
        ("model=a seed=1,2 -m", "train", "-m", "model=a seed=1,2"),
        ("seed=1 --cfg job model=a", "train", "--cfg job", "seed=1 model=a"),
        ("seed=1 --config-name smoke ~callbacks", "train", "--config-name smoke", "seed=1 ~callbacks"),
        ("-m train seed=1,2", "train", "-m", "seed=1,2"),
        # And the verb among the options.
        ("--cfg job evaluate run=a", "evaluate", "--cfg job", "run='a'"),
        ("evaluate --cfg job here split=val", "evaluate", "--cfg job", "run='here' split=val"),
        ("evaluate here --cfg job split=val", "evaluate", "--cfg job", "run='here' split=val"),
        (
            "resume here epochs=3 hydra.verbose=true",
            "resume",
            "",
            "run='here' hydra.verbose=true overrides=['epochs=3']",
        ),
        ("summary ~callbacks", "summary", "", "~callbacks"),
        ("compare here", "compare", "", "run='here'"),
        ("compare here ../b=c,d hydra.run.dir=x", "compare", "", "run=['here','../b=c,d'] hydra.run.dir='x'"),
        ("predict --help", "predict", "--help", ""),
        ("--help predict", "predict", "--help", ""),
        ("--help predict run=a", "predict", "--help", "run='a'"),
    ],
)
def test_a_line_is_taken_apart(typed, verb, options, overrides):
    line = read_command_line(typed.split())
    assert (line.verb, list(line.options), list(line.overrides)) == (verb, options.split(), overrides.split())
    assert not line.about


@pytest.mark.parametrize(
    ("typed", "about"), [("--help model", "model"), ("-h experiment seed=1", "experiment"), ("model --help", "model")]
)
def test_help_may_be_asked_about_a_word(typed, about):
    assert list(read_command_line(typed.split()).about) == [about]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("evaluate here there", "there: a setting is typed as key=value, and evaluate takes one run."),
        ("compare here seed=1 there", "there: a setting is typed as key=value, and compare takes its runs first."),
        ("=3", "=3: a setting is typed as key=value."),
        ("train model", "model: a setting is typed as key=value."),
        ("seed=1 evaluate", "evaluate: a setting is typed as key=value."),
        ("inspect here", "here: inspect takes settings (key=value), no run. Type segtrain inspect --help."),
        ("trian", "trian: there is no such verb. Did you mean 'train'?"),
        ("-m trian", "trian: there is no such verb. Did you mean 'train'?"),
        ("seed=1 --bogus", "--bogus: there is no such option."),
        ("seed=1 --cfg", "--cfg"),
        ("seed=1 --cfg job -m", "--cfg and --multirun: go one at a time."),
        ("--experimental-rerun config.pickle", "--experimental-rerun: reads a pickle, which may run code."),
    ],
)
def test_a_wrong_line_is_told(typed, words):
    with pytest.raises(ConfigError) as refused:
        read_command_line(typed.split())
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("typed", "is_question", "is_plain"),
    [
        ("", False, False),
        ("seed=1", False, False),
        ("--help", True, True),
        ("--help model=unet", True, False),
        ("--cfg job", True, True),
        ("--cfg job --config-name smoke", True, False),
        ("-m seed=1,2", False, False),
    ],
)
def test_questions_are_told_from_runs(typed, is_question, is_plain):
    line = read_command_line(typed.split())
    assert (line.is_question, line.is_plain_question) == (is_question, is_plain)
