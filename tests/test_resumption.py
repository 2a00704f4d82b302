"""What a run may go on with: no TensorFlow, and nothing is written."""

import sys

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf

from segtrain import cli
from segtrain import resumption as module
from segtrain.command.composition import config_folder
from segtrain.config_error import ConfigError
from segtrain.pipeline.samples import Samples
from segtrain.resumption import describe_data, plan_resumption
from segtrain.run_folder import RunFolder
from segtrain.settings import with_absolute_paths
from segtrain.training.state_files import find_state, state_path


@pytest.fixture
def begin(tmp_path):
    """Returns a function that leaves what a run of two epochs does, whose state is after so many epochs and steps."""

    def begin(*overrides, epoch=None, step=0, **results):
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            config = hydra.compose("smoke", list(overrides))
        folder = RunFolder(tmp_path / "run")
        folder.path.mkdir()
        OmegaConf.save(with_absolute_paths(config), folder.config)
        folder.write_results({"status": "interrupted", **results})
        if epoch is not None:
            folder.last.mkdir(parents=True)
            np.savez(state_path(folder, epoch, step).open("wb"), facts="{}")
        return folder

    return begin


def files_in(folder):
    return {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}


def test_a_runs_folder_is_read_once(begin, monkeypatch, kept_logging, capsys):
    """What the command line is checked against is what the run goes on with."""
    folder, read = begin(epoch=1), []
    read_config = module.read_config_of_run

    def count(*arguments):
        read.append(arguments)
        return read_config(*arguments)

    def end(settings):
        assert settings.epochs == 9
        raise ValueError("no data")

    monkeypatch.setattr(module, "read_config_of_run", count)
    monkeypatch.setattr("segtrain.verbs.resume.open_splits", end)
    monkeypatch.setattr(sys, "argv", ["segtrain"])
    with pytest.raises(SystemExit):
        cli.main(["resume", str(folder.path), "epochs=9"])
    assert capsys.readouterr().err == "segtrain: error: no data\n"
    assert len(read) == 1


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["epochs=9"],
        ["callbacks.checkpoint.keep=5", "callbacks.checkpoint.every_minutes=0.5"],
        ["~callbacks.tensorboard"],
        ["callbacks.early_stopping._target_=keras.callbacks.EarlyStopping", "callbacks.early_stopping.patience=3"],
        ["+callbacks.early_stopping={_target_: keras.callbacks.EarlyStopping, patience: 3}"],
        ["trainer.strategy=one", "trainer.jit=false"],
        ["trainer.strategy=mirrored", "trainer.logical_cpus=2"],
        ["dataset.cache=disk"],
        ["dataset.on_bad_sample=skip", "dataset.max_bad_share=0.5"],
        ["batch_size=4", "seed=1"],
    ],
)
def test_what_changes_no_number_may_be_changed(begin, overrides):
    folder = begin(epoch=1)
    before = files_in(folder)
    resumption = plan_resumption(str(folder.path), overrides)
    assert files_in(folder) == before
    assert bool(resumption.changes) == (overrides not in ([], ["batch_size=4", "seed=1"]))
    assert (resumption.state.epoch, resumption.state.step) == (1, 0)
    assert not resumption.has_nothing_to_do
    assert OmegaConf.to_container(resumption.config)["epochs"] == resumption.settings.epochs


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("batch_size=3", ["batch_size was 4 and is 3 now"]),
        ("model.width=8", ["model.width was 16 and is 8 now"]),
        ("dataset.num_train=7", ["dataset.num_train was 800 and is 7 now"]),
        ("augmentation.transforms.flip.p=0.1", ["augmentation.transforms.flip.p was 0.5 and is 0.1 now"]),
        ("optimizer.learning_rate=1", ["optimizer.learning_rate was 0.2 and is 1 now"]),
        ("schedule.warmup_epochs=2", ["schedule.warmup_epochs was 1.0 and is 2 now"]),
        ("image_size=[32,64]", ["image_size.1 was 48 and is 64 now"]),
        ("seed=2", ["seed was 1 and is 2 now"]),
        ("max_samples=null", ["max_samples was 12 and is null now"]),
        ("trainer.precision=mixed_bfloat16", ['trainer.precision was "float32" and is "mixed_bfloat16" now']),
        ("trainer.deterministic=true", ["trainer.deterministic was false and is true now"]),
        ("metric_convention=per_image", ['metric_convention was "segtrain" and is "per_image" now']),
    ],
)
def test_what_would_make_it_another_run_is_refused_with_the_difference(begin, override, words):
    with pytest.raises(ConfigError) as error:
        plan_resumption(str(begin(epoch=1).path), [override, "epochs=5"])
    for word in [*words, "train anew", "It can change epochs, callbacks.*"]:
        assert word in str(error.value)
    assert " epochs was" not in f" {error.value}"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=5", "epoch: there is no such setting. Did you mean 'epochs'?"),
        ("epochs=abc", "epochs=abc: has to be an integer"),
        ("epochs=0", "epochs=0: has to be greater than or equal to 1"),
        ("epochs=1,2", "epochs=1,2: has several values"),
        ("callbacks.checkpoint.keeep=1", "callbacks.checkpoint.keeep: there is no such setting. Did you mean 'keep'?"),
        ("callbacks.checkpoint.keep=0", "callbacks.checkpoint.keep=0: has to be greater"),
        ("callbacks=none", "callbacks=none: resume takes single settings"),
        ("~callbacks.nothing", "~callbacks.nothing: the run has no such setting"),
        ("epochs=[", "epochs=["),
        ("=3", "=3"),
    ],
)
def test_a_mistake_is_told_in_a_line(begin, override, message):
    with pytest.raises(ConfigError) as error:
        plan_resumption(str(begin(epoch=1).path), [override])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_code_of_ones_own_is_allowed_by_what_is_typed_at_resume(begin, tmp_path, monkeypatch):
    (tmp_path / "my_package.py").write_text("class Mine:\n    def __init__(self):\n        pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder = begin("+callbacks.mine={_target_: my_package.Mine}", "allow_targets=[my_package.]", epoch=1)
    for typed in (None, [], ["another_package."]):  # what the run was allowed does not count
        with pytest.raises(ConfigError, match=r"allow_targets=\[my_package.\]"):
            plan_resumption(str(folder.path), ["epochs=9"], typed)
    resumption = plan_resumption(str(folder.path), ["epochs=9"], ["my_package."])
    assert resumption.changes == ["epochs"]
    assert resumption.settings.callbacks["mine"]["_target_"] == "my_package.Mine"


def test_a_folder_without_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="is no run folder"):
            plan_resumption(str(path), [])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("epoch", "step", "epochs", "fits"), [(3, 0, 2, False), (3, 0, 3, True), (3, 1, 3, False)])
def test_fewer_epochs_than_are_done_are_refused(begin, epoch, step, epochs, fits):
    folder = begin("epochs=9", epoch=epoch, step=step)
    if fits:
        assert plan_resumption(str(folder.path), [f"epochs={epochs}"]).settings.epochs == epochs
    else:
        with pytest.raises(ConfigError, match=f"epochs={epochs}: the run has done 3"):
            plan_resumption(str(folder.path), [f"epochs={epochs}"])


@pytest.mark.parametrize(
    ("status", "epoch", "overrides", "is_done"),
    [
        ("completed", 2, [], True),
        ("completed", 1, [], True),  # a callback has stopped it
        ("completed", 2, ["epochs=2"], True),
        ("completed", 2, ["callbacks.checkpoint.keep=3"], True),
        ("completed", 2, ["epochs=3"], False),
        ("completed", 1, ["callbacks.checkpoint.keep=3"], False),
        ("completed", None, [], True),  # callbacks=none
        ("completed", None, ["epochs=3"], False),
        ("interrupted", 2, [], False),  # before it was scored
        ("failed", 1, [], False),
        ("interrupted", None, [], False),
    ],
)
def test_a_complete_run_has_nothing_to_do_unless_it_gets_more(begin, status, epoch, overrides, is_done):
    folder = begin(epoch=epoch, status=status)
    assert plan_resumption(str(folder.path), overrides).has_nothing_to_do == is_done


def test_it_is_said_where_it_goes_on(begin):
    folder = begin(epoch=1, step=2)
    assert plan_resumption(str(folder.path), []).notes() == [
        "goes on after epoch 1, step 2, from epoch-0001-step-00002.npz"
    ]
    notes = plan_resumption(str(folder.path), ["epochs=7"]).notes()
    assert len(notes) == 2
    assert "the learning rate is that of a run of 7" in notes[1]
    state_path(folder, 2, 0).write_bytes(b"half a file")
    notes = plan_resumption(str(folder.path), []).notes()
    assert notes[0] == "epoch-0002-step-00000.npz is damaged; the state before it is used"
    assert notes[1].endswith("from epoch-0001-step-00002.npz")
    state_path(folder, 1, 2).unlink()
    assert plan_resumption(str(folder.path), []).notes()[1].endswith("begins again from the start")
    assert "learning rate" not in " ".join(plan_resumption(str(folder.path), ["epochs=7"]).notes())


def test_states_are_read_through_when_it_goes_on_and_not_before(begin, monkeypatch):
    """They may be gigabytes, and what was typed is checked first."""
    folder, reads = begin(epoch=1), []
    monkeypatch.setattr(
        "segtrain.resumption.find_state", lambda folder: reads.append(folder.path) or find_state(folder)
    )
    resumption = plan_resumption(str(folder.path), ["epochs=9"])
    assert reads == []
    assert (resumption.state.epoch, resumption.has_nothing_to_do, resumption.state.step) == (1, False, 0)
    assert reads == [folder.path]


def test_a_constant_rate_needs_no_note(begin):
    folder = begin("schedule=constant", epoch=1)
    assert len(plan_resumption(str(folder.path), ["epochs=7"]).notes()) == 1


class Renamed:
    """A split with another name for its first image, or fewer of them. Implements what `describe_data` asks."""

    def __init__(self, samples, first=None, length=None):
        self.samples, self.split, self.first, self.length = samples, samples.split, first, length

    def __len__(self):
        return self.length or len(self.samples)

    def name(self, index):
        return self.first if index == 0 and self.first else self.samples.name(index)


def test_data_is_what_it_was_by_number_and_names(begin, shapes_dataset):
    train, val = (Samples(shapes_dataset, split, image_size=(32, 32)) for split in ("train", "val"))
    folder = begin(epoch=1, data=describe_data(train, val))
    resumption = plan_resumption(str(folder.path), [])
    resumption.require_same_data(describe_data(train, val))
    with pytest.raises(ValueError, match="split 'val' is not what the run has seen: it had 10 images and has 9 now"):
        resumption.require_same_data(describe_data(train, Renamed(val, length=9)))
    with pytest.raises(ValueError, match="'train' .* has 24 images as before, with other names"):
        resumption.require_same_data(describe_data(Renamed(train, first="new"), val))


def test_a_run_that_begins_again_may_have_other_data(begin, shapes_dataset):
    val = Samples(shapes_dataset, "val", image_size=(32, 32))
    folder = begin(data=describe_data(val))
    plan_resumption(str(folder.path), []).require_same_data(describe_data(Renamed(val, length=9)))
