"""The command line, without TensorFlow: what a verb would do is replaced by a note of what it was asked to do."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hydra.core.hydra_config import HydraConfig

from segtrain import cli
from segtrain.run_folder import RunFolder
from segtrain.training.cluster import Cluster

pytestmark = pytest.mark.usefixtures("kept_logging")

HOSTILE_PATHS = [
    "a,b",
    "a=b",
    "a b",
    "it's",
    'say "hi"',
    "tail\\",
    "two\\\\",
    "back\\'quote",
    "übung/写真",
    "(a)[b]{c}",
    "#1",
    "a: b",
    "~/runs",
    "1.5",
    "true",
    "$HOME",
    "a'",
    "range(1,3)",
]


@pytest.fixture
def asked(monkeypatch) -> list:
    """What the verbs were asked to do: (verb, settings) for each job."""
    jobs = []
    for verb in cli.SCHEMAS:
        monkeypatch.setattr(
            f"segtrain.verbs.{verb}.{verb}", lambda settings, *rest, verb=verb: jobs.append((verb, settings))
        )
    return jobs


@pytest.fixture
def segtrain(segtrain, asked) -> Callable:
    """Runs a command line in an empty folder, whose verbs are asked alone."""
    return segtrain


# Mistakes


@pytest.mark.parametrize(
    ("line", "words"),
    [
        # Options of a group.
        ("model=segnt", "model=segnt: there is no such option. Did you mean 'segnet'? Options: "),
        (
            "model=fcn8s model/encoder=vg16",
            "model/encoder=vg16: there is no such option. Did you mean 'vgg16'? Options: ",
        ),
        (
            "model=segnet model/encoder=vgg16",
            "model/encoder=vgg16: this model has no encoder. Models with one: deep",
        ),
        (
            "model=fcn8s model.encoder.freze=all",
            "model.encoder.freze: there is no such setting. Did you mean 'freeze'",
        ),
        ("model=fcn8s model.encoder.freeze=6", "model.encoder.freeze=6: has to be"),
        ("model=fcn8s model.encoder.freeze=some", "model.encoder.freeze=some: has to be"),
        ("model=fcn8s +model.encoder.channels=3", "model.encoder.channels: is set by the run itself"),
        ("optimizer=sdg", "optimizer=sdg: there is no such option. Did you mean 'sgd'?"),
        ("size=tny", "Did you mean 'tiny'?"),
        ("experiment=nope", "experiment=nope: there is no such option."),
        ("callbacks=[default,early_stoping]", "callbacks=early_stoping: there is no such option. Did you mean 'early_"),
        ("model.encoder=resnet101", "model.encoder=resnet101: this model has no encoder. Models with one: deep"),
        ("model=fcn8s model.encoder=vgg16", "an option is chosen with a slash. Type model/encoder=vgg16."),
        ("model=fcn8s model.encoder=null", "an option is chosen with a slash. Type model/encoder=OPTION."),
        ("model=fcn8s ~model.encoder", "model.encoder is required"),
        ("model=unet_on_encoder/resnet50", "Type model=unet_on_encoder model/encoder=resnet50."),
        ("model=segnet/resnet50", "model/segnet=resnet50: there is no such option."),
        ("model=", "model="),
        ("model=null", "model="),
        ("--config-name smoke model=segnt", "Did you mean 'segnet'?"),
        ("--config-name smok", "--config-name smok: there is no such config. Did you mean 'smoke'?"),
        # Settings.
        ("optimizer.learning_rat=1", "optimizer.learning_rat: there is no such setting. Did you mean 'learning_rate'?"),
        ("model.widht=4", "model.widht: there is no such setting. Did you mean 'width'? Settings in model: width, "),
        ("optimzer=sgd", "optimzer: there is no such setting. Did you mean 'optimizer'?"),
        ("epoch=3", "epoch: there is no such setting. Did you mean 'epochs'?"),
        ("callbacks.early_stopping.patience=3", "callbacks.early_stopping: there is no such setting."),
        ("augmentation.transforms.flip.q=1", "augmentation.transforms.flip.q: there is no such setting."),
        ("num_classes=5", "num_classes: the dataset tells how many classes there are. Type dataset.num_classes=VALUE."),
        ("dataset=folder dataset.root=a num_classes=5", "Type dataset.classes=VALUE."),
        ("dataset=voc2012 num_classes=5", "num_classes: the dataset tells how many classes there are. Leave it out."),
        ("~dataset num_classes=5", "num_classes: the dataset tells how many classes there are. Leave it out."),
        ("dataset=folder dataset.root=a ignore_label=5", "Type dataset.ignore_label=VALUE."),
        ("channels=1", "channels: the dataset tells how many channels images have. Leave it out."),
        ("encoder=vgg16", "encoder: there is no such setting. Did you mean model/encoder?"),
        ("learning_rate=1", "learning_rate: there is no such setting. Did you mean optimizer.learning_rate?"),
        ("width=8", "width: there is no such setting. Did you mean dataset.width or model.width?"),
        ("optimizer.schedule=cosine", "optimizer.schedule: there is no such setting. Type schedule=OPTION."),
        ("optimizer.epochs=3", "optimizer.epochs: there is no such setting. Type epochs=VALUE."),
        ("callbacks=none callbacks.checkpoint.keep=2", "Settings in callbacks: none."),
        ("hydra.runn.dir=x", "Did you mean 'run'?"),
        ("+x=1", "x: there is no such setting."),
        ("+model.widht=4", "model.widht: there is no such setting. Did you mean 'width'?"),
        ("++model.widht=4", "model.widht: there is no such setting. Did you mean 'width'?"),
        ("~dataset", "dataset is required."),
        ("~callbacks", "callbacks is required."),
        ("~image_size", "image_size is required."),
        ("~image_size augmentation=flip_crop", "image_size is required."),
        # Values.
        ("epochs=abc", "epochs=abc: has to be an integer."),
        ("model.width=0", "model.width=0: has to be greater than or equal to 1."),
        ("model=encoder_decoder model.upsampling=bilinea", "Did you mean 'bilinear'?"),
        ("image_size=[32]", "image_size=[32]: has to be a list of 2 values."),
        ("image_size=[32] augmentation=flip_crop", "error: image_size=[32]: has to be a list of 2 values."),
        ("dataset=camvid", "dataset.root is required: folder with"),
        ("+model.num_classes=3", "model.num_classes: is set by the run itself"),
        ("callbacks=[default,reduce_on_plateau]", "schedule=constant"),
        ("model._target_=segtrain.models.nope.build", "There is no module 'segtrain.models.nope'."),
        ("seed=${epochss}", "epochss"),
        ("seed=${oc.env:SEGTRAIN_HAS_NO_SUCH_VARIABLE}", "SEGTRAIN_HAS_NO_SUCH_VARIABLE"),
        # Grammar.
        ("seed=[1", "[1"),
        ("seed=1,2", "seed=1,2: several values make a sweep. Type segtrain -m seed=1,2."),
        ("model=fcn8s -m seed=1,2 epochs=x", "epochs=x: has to be an integer."),
        ("--cfg job model=segnt", "Did you mean 'segnet'?"),
        ("--help model=segnt", "Did you mean 'segnet'?"),
        ("--help modle", "modle: --help knows no such verb or group. Did you mean 'model'?"),
        ("train segnet", "segnet"),
        ("modél=segnet", "modél=segnet"),
        ("model=segnet,", "model=segnet,: cannot be read as key=value."),
        ("seed=1 --batch_size=4", "A setting is typed without dashes: batch_size=4."),
        ("predict here --input photos", "A setting is typed without dashes: input=VALUE."),
        ("--bogus", "--bogus: there is no such option."),
        ("--resolve", "--resolve"),
        ("--config-dir nope", "--config-dir nope: there is no such folder."),
        ("--config-path nope", "--config-path nope: there is no such folder."),
        # Verbs.
        (
            "frobnicate",
            "frobnicate: there is no such verb. Verbs: train, resume, evaluate, predict, compare, inspect, ",
        ),
        ("evaluat outputs/x", "evaluat: there is no such verb. Did you mean 'evaluate'?"),
        ("evaluate", "run is required."),
        ("evaluate here there", "there: a setting is typed as key=value, and evaluate takes one run."),
        ("summary model=segnet,unet", "Type segtrain summary once for each value."),
        ("summary -m model=segnet,unet", "Type segtrain summary once for each value."),
        ("-m summary seed=1", "-m: sweeps are for training. Type segtrain summary without it."),
        ("model=fcn8s model.encoder.weights=none.h5", "model.encoder.weights=none.h5: there is no such file. Type "),
        ("summary outputs/x", "outputs/x: summary takes settings (key=value), no run."),
        ("summary num_classes=1", "num_classes=1: has to be greater than or equal to 2."),
        ("summary dataset=camvid dataset.cache=ram", "dataset.cache=ram: has to be auto, memory, disk or none."),
        ("benchmark outputs/x", "outputs/x: benchmark takes settings (key=value), no run."),
        ("inspect outputs/x", "outputs/x: inspect takes settings (key=value), no run. Type segtrain inspect --help."),
        ("inspect dataset=folder", "dataset.root is required: the folder."),
        ("inspect image_siz=[8,8]", "image_siz: there is no such setting. Did you mean 'image_size'?"),
        ("inspect dataset=folder dataset.root=a dataset.tell=1", "dataset.tell"),
        ("inspec", "inspec: there is no such verb. Did you mean 'inspect'?"),
        ("-m inspect seed=1,2", "inspect"),
        ("benchmark round=3", "round: there is no such setting. Did you mean 'rounds'?"),
        (
            "benchmark measure=[run,step]",
            "has to be run, xla, exchange, pooling_pair, networks, pipelines, disk_cache or start_up.",
        ),
        ("benchmark measure=[]", "measure=[]: has to be a list of at least 1 values."),
        ("trainer.jit=yes_please", "trainer.jit=yes_please: has to be true or false or auto."),
        ("trainer.precision=float16", "has to be float32, mixed_bfloat16 or mixed_float16."),
        ("evaluate here split=trian", "split=trian: has to be train, val or test. Did you mean 'train'?"),
        ("evaluate here splt=val", "splt: there is no such setting. Did you mean 'split'?"),
        ("evaluate here epochs=3", "epochs: there is no such setting. Settings here: run, split, scale, "),
        ("evaluate here model=segnet", "model: there is no such setting. Settings"),
        ("predict here input=a", "output is required."),
        ("predict here input=a output=b overwrit=true", "Did you mean 'overwrite'?"),
        ("benchmark trainer.find_batch_size=true", "trainer.find_batch_size=true: a benchmark measures the batch_size"),
        ("optimizer.rate_scaling=sqrt", "Type optimizer.reference_batch_size=IMAGES with it."),
        ("trainer.strategy=multiworker trainer.workers=1", "trainer.workers=1: has to be greater than or equal to 2."),
        ("compare", "run is required: the folder of a run or of a sweep. Type segtrain compare outputs/multirun/"),
        ("resume", "run is required: the folder of a run or of a sweep. Type segtrain resume outputs/multirun/"),
        ("compare nowhere", "run=nowhere is no sweep's folder and no run's: there is no such folder."),
        ("compare ~no.such.user/sweep", "run=~no.such.user/sweep is no sweep's folder"),
        ("resume ~no.such.user/sweep", "is no run folder: "),
        ("resume nowhere", "A sweep's folder is taken as well: outputs/multirun/<date>/<time>."),
        # What only a sweep takes notice of.
        (
            "hydra/sweeper=optuna",
            "hydra/sweeper=optuna: is for a sweep, and this is one run. Type segtrain -m hydra/sw",
        ),
        ("hydra.sweeper.n_trials=3", "hydra.sweeper.n_trials=3: is for a sweep, and this is one run."),
        ("hydra/launcher=joblib", "hydra/launcher=joblib: is for a sweep, and this is one run."),
        ("batch_size=interval(2,8)", "Type segtrain -m hydra/sweeper=optuna batch_size=interval(2,8)."),
        ("-m batch_size=interval(2,8)", "To search in it, type hydra/sweeper=optuna too."),
        # Sweeps: any value's mistake, before the first job.
        ("-m model=segnet_small,segnt", "model=segnt: there is no such option. Did you mean 'segnet'?"),
        ("-m seed=1,2 model.width=4,0", "model.width=0: has to be greater than or equal to 1."),
        ("-m seed=1,2 model.width=range(4,-1,-2)", "model.width=0: has to be greater than or equal to 1."),
        ("-m model.width=choice(4,abc)", "model.width=abc: has to be an integer."),
        ("-m model=segnet_small,encoder_decoder_small model.upsampling=nearest", "model.upsampling: there is no such"),
        ("-m seed=1,2 x=1", "x: there is no such setting."),
        ("-m model=glob(seg*) model.widht=3", "model.widht: there is no such setting. Did you mean 'width'?"),
        ("-m seed=1,2 hydra.swep.dir=x", "Did you mean 'sweep'?"),
    ],
)
def test_a_mistake_is_answered_in_a_line(segtrain, asked, tmp_path, line, words):
    finished = segtrain(*line.split())
    assert finished.errors.startswith("segtrain: error: ")
    assert finished.errors.count("\n") == 1
    assert finished.errors.endswith("\n")
    assert words in finished.errors
    assert (finished.status, finished.output, asked) == (2, "", [])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("line", ["evaluate here model=segnet", "predict a input=b output=c size=tiny"])
def test_nothing_is_suggested_that_would_not_work(segtrain, line):
    assert "Did you mean" not in segtrain(*line.split()).errors


@pytest.mark.parametrize(
    "key", ["hydra.run.dir={}", "-m seed=1,2 hydra.sweep.dir={}", "evaluate here hydra.run.dir={}"]
)
@pytest.mark.parametrize(
    "folder",
    [
        "file",
        "file/run",
        "file/deep/run",
        "x" * 300,
        pytest.param(
            "/proc/segtrain/run", marks=pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")
        ),
    ],
    ids=["file", "below a file", "far below a file", "long name", "read-only file system"],
)
def test_an_output_that_cannot_be_made_is_told_at_once(segtrain, asked, tmp_path, key, folder):
    (tmp_path / "file").write_text("mine")
    finished = segtrain(*key.format(folder).split())
    assert re.fullmatch(r"segtrain: error: .*\n", finished.errors)
    assert folder in finished.errors
    assert (finished.status, asked) == (2, [])
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_told_at_once(segtrain, asked, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    finished = segtrain("hydra.run.dir=locked/run")
    assert re.fullmatch(r"segtrain: error: .*locked.*\n", finished.errors)
    assert (finished.status, asked, os.listdir(tmp_path / "locked")) == (2, [], [])


# What is asked arrives


@pytest.mark.parametrize(
    ("line", "verb", "expected"),
    [
        ("", "train", {"epochs": 12, "seed": 1, "image_size": [32, 32]}),
        ("train epochs=3", "train", {"epochs": 3}),
        ("epochs=3 seed=2 seed=3", "train", {"epochs": 3, "seed": 3}),
        ("--config-name smoke", "train", {"epochs": 2, "max_samples": 12}),
        ("optimizer=adam optimizer.learning_rate=1e-3", "train", {"optimizer.learning_rate": 0.001}),
        ("model.width=${seed} seed=7", "train", {"model.width": 7}),
        ("evaluate here", "evaluate", {"run": "here", "split": "val", "batch_size": None}),
        ("evaluate run=here split=test", "evaluate", {"run": "here", "split": "test"}),
        ("evaluate split=test run=here", "evaluate", {"run": "here", "split": "test"}),
        ("predict here input=a output=b", "predict", {"run": "here", "input": "a", "output": "b", "overwrite": False}),
        ("predict here input=a output=b overwrite=true", "predict", {"overwrite": True}),
        ("compare here", "compare", {"run": "here"}),
        ("compare here there", "compare", {"run": ["here", "there"]}),
        ("inspect", "inspect", {"image_size": [32, 32], "augmentation.reads": "resized"}),
        (
            "inspect dataset=folder dataset.root=my,data augmentation=photometric image_size=[96,128]",
            "inspect",
            {"dataset.root": "my,data", "augmentation.reads": "native", "image_size": [96, 128]},
        ),
        (
            "summary dataset=camvid num_classes=11",
            "summary",
            {"num_classes": 11, "channels": 3, "image_size": [360, 480]},
        ),
        ("benchmark", "benchmark", {"rounds": 7, "image_size": [32, 32]}),
        ("benchmark rounds=1 measure=[run] size=tiny", "benchmark", {"rounds": 1, "measure": ["run"], "batch_size": 4}),
    ],
)
def test_a_verb_gets_its_settings(segtrain, asked, tmp_path, line, verb, expected):
    for name in ("here", "there"):  # runs to compare, which are looked for before the verb
        (tmp_path / name / ".hydra").mkdir(parents=True)
        (tmp_path / name / ".hydra" / "overrides.yaml").write_text("[]\n")
    assert segtrain(*line.split()).status == 0
    ((found, settings),) = asked
    assert found == verb
    for key, value in expected.items():
        node = settings
        for part in key.split("."):
            node = node[part] if isinstance(node, dict) else getattr(node, part)
        assert node == value


@pytest.mark.parametrize("folder", ["own", "./own/", "it's own, a=b", "übung"])
def test_a_user_adds_a_model(segtrain, asked, tmp_path, folder):
    (tmp_path / folder / "model").mkdir(parents=True)
    (tmp_path / folder / "model" / "narrow.yaml").write_text(
        "_target_: segtrain.models.segnet_small.build_segnet_small\nwidth: 4\n"
    )
    finished = segtrain("--config-dir", folder, "model=narrow")
    assert (finished.status, finished.errors) == (0, "")
    assert asked[0][1].model == {"_target_": "segtrain.models.segnet_small.build_segnet_small", "width": 4}
    mistyped = segtrain("--config-dir", folder, "model=narow")
    assert mistyped.status == 2
    assert "Did you mean 'narrow'?" in mistyped.errors


@pytest.mark.parametrize(
    "text",
    [b"width: [1\nb: :\n", b'width: "\xff"\n', b"- 1\n", b"width: 4\n", b"just text\n"],
    ids=["no YAML", "no UTF-8", "a list", "no target", "text"],
)
def test_a_users_broken_config_is_told(segtrain, asked, tmp_path, text):
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "broken.yaml").write_bytes(text)
    finished = segtrain("--config-dir", "own", "model=broken")
    assert re.fullmatch(r"segtrain: error: .*\n", finished.errors)
    assert (finished.status, asked, os.listdir(tmp_path)) == (2, [], ["own"])


@pytest.mark.parametrize("absolute", [True, False])
def test_a_composed_config_runs_again(segtrain, asked, tmp_path, absolute):
    folder = tmp_path / "former run"
    folder.mkdir()
    composed = segtrain("--config-name", "smoke", "model.width=4", "seed=5", "--cfg", "job", "--resolve")
    (folder / "config.yaml").write_text(composed.output)
    again = ["--config-path", str(folder) if absolute else folder.name, "--config-name", "config"]
    shown = segtrain(*again, "--cfg", "job")
    assert (shown.status, shown.errors) == (0, "")
    assert yaml.safe_load(shown.output) == yaml.safe_load(composed.output)
    assert segtrain(*again, "seed=6", "hydra.run.dir=new").status == 0
    assert (asked[0][1].seed, asked[0][1].model["width"], asked[0][1].max_samples) == (6, 4, 12)


# Paths


def test_a_file_in_brackets_is_no_list(segtrain, asked, tmp_path):
    (tmp_path / "[a,b]").touch()
    assert segtrain("predict", "run=here", "input=[a,b]", "output=out").status == 0
    assert segtrain("predict", "run=here", "input=[a,c]", "output=out").status == 0
    assert [settings.input for _, settings in asked] == ["[a,b]", ["a", "c"]]


@pytest.mark.parametrize("path", ["runs/lr=0.1", "./lr=0.1", "/data/lr=0.1/seed=2", "läufe/a=b", "my runs/a=b"])
def test_a_bare_path_may_hold_an_equals_sign(segtrain, asked, tmp_path, path):
    if not path.startswith("/"):
        (tmp_path / path).mkdir(parents=True)
    assert segtrain("evaluate", path).status == 0
    assert asked[0][1].run == path


@pytest.mark.parametrize("path", HOSTILE_PATHS)
def test_a_path_arrives_as_typed(segtrain, asked, path):
    finished = segtrain("predict", f"run={path}", f"input={path}", f"output={path}")
    assert (finished.status, finished.errors) == (0, "")
    assert [asked[0][1].run, asked[0][1].input, asked[0][1].output] == [path] * 3


def test_a_comma_separates_paths_in_a_sweep(segtrain, asked):
    segtrain("-m", "dataset=folder", "dataset.root=a b,c", "hydra.sweep.dir=x=1")
    assert [settings.dataset["root"] for _, settings in asked] == ["a b", "c"]
    assert Path("x=1").is_dir()


# Jobs


@pytest.fixture
def train(monkeypatch):
    """Has training end as told by the seed: 1 completes, others fail with the error given."""

    def install(error: Exception) -> None:
        def train(settings, *rest):
            if settings.seed != 1:
                raise error
            RunFolder(HydraConfig.get().runtime.output_dir).write_results(
                {
                    "status": "completed",
                    "seed": settings.seed,
                    "val": dict.fromkeys(("mean_iou", "pixel_accuracy", "mean_class_accuracy"), 0.5)
                    | {"per_class_iou": {"ground": 0.5}},
                    "parameters": 10,
                    "images_per_second": 1.0,
                }
            )
            return 0.5

        monkeypatch.setattr("segtrain.verbs.train.train", train)

    return install


@pytest.mark.parametrize("error", [ValueError, TypeError, OSError, FloatingPointError])
def test_a_failed_run_is_told_in_a_line_and_logged_in_full(segtrain, train, error):
    train(error("the mask is upside down"))
    finished = segtrain("seed=2", "hydra.run.dir=out")
    assert (finished.status, finished.output) == (1, "")
    assert finished.errors == "segtrain: error: the mask is upside down\n"
    log = Path("out/segtrain.log").read_text(encoding="utf-8")
    assert "Traceback" in log
    assert f"{error.__name__}: the mask is upside down" in log


def test_an_interrupted_run_is_told(segtrain, train, tmp_path):
    train(KeyboardInterrupt())
    finished = segtrain("seed=2", "hydra.run.dir=out")
    assert finished.status == 130
    assert re.fullmatch(r"segtrain: error: interrupted.*\n", finished.errors)
    assert str(tmp_path / "out") in finished.errors


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyError])
def test_a_failed_job_does_not_take_the_sweep_with_it(segtrain, train, error):
    """Whatever it failed of: hours of the other jobs are worth their comparison."""
    train(error("no luck"))
    finished = segtrain("-m", "seed=2,1", "hydra.sweep.dir=sweep")
    assert finished.status == 1
    comparison = json.loads(Path("sweep/comparison.json").read_text(encoding="utf-8"))
    assert [job["status"] for job in comparison["jobs"]] == ["completed", "failed"]
    assert comparison["configurations"][0]["mean_iou"]["values"] == [0.5]


def test_a_sweep_runs_every_combination(segtrain, asked):
    segtrain("-m", "model=segnet_small,encoder_decoder_small", "seed=1,2", "hydra.sweep.dir=sweep")
    jobs = {(settings.model["_target_"].rpartition(".")[2], settings.seed) for _, settings in asked}
    models = ("build_segnet_small", "build_encoder_decoder_small")
    assert jobs == {(model, seed) for model in models for seed in (1, 2)}
    assert {path.parent.name for path in Path("sweep").glob("*/.hydra")} == {
        f"model-{model}_seed-{seed}" for model in ("segnet_small", "encoder_decoder_small") for seed in (1, 2)
    }


def test_a_sweep_over_all_options_of_a_kind(segtrain, asked):
    segtrain("-m", "model=glob(*_small)")
    assert len(asked) == 2


# Questions: one process answers them all, and never imports TensorFlow

QUESTIONS = {
    "help": ["--help"],
    "help with a group": ["--help", "experiment"],
    "help with a verb": ["predict", "--help"],
    "config": ["--cfg", "job"],
    "info": ["--info"],
    "defaults": ["--info", "defaults"],
    "hydra": ["--hydra-help"],
    "option": ["model=segnt"],
    "setting": ["optimizer.learning_rat=1"],
    "sweep": ["-m", "seed=1,2", "model.width=4,0"],
    "no data": ["dataset=folder", "dataset.root=nowhere", "hydra.run.dir=no data"],
    "no data to inspect": ["inspect", "dataset=folder", "dataset.root=nowhere", "hydra.run.dir=no data to inspect"],
    "no run": ["evaluate", "nowhere", "hydra.run.dir=no run"],
    "no images": ["predict", "nowhere", "input=a", "output=b", "hydra.run.dir=no images"],
    "no sweep": ["compare", "nowhere", "hydra.run.dir=no sweep"],
}
MODELS = {path.stem for path in (cli.config_folder() / "model").glob("*.yaml")}
COMPLETIONS = {
    "segtrain model=": {f"model={model}" for model in MODELS},
    "segtrain epochs=3 model=encoder": {f"model={model}" for model in MODELS if model.startswith("encoder")},
    "segtrain train model=": {f"model={model}" for model in MODELS},
    "segtrain --config-name smoke model=": {f"model={model}" for model in MODELS},
    "segtrain optimizer.learning": {"optimizer.learning_rate="},
    "segtrain dataset=folder dataset.ro": {"dataset.root="},
    "segtrain see": {"seed="},
    "segtrain ev": {"evaluate"},
    "segtrain ins": {"inspect"},
    "segtrain inspect model=encoder": {f"model={model}" for model in MODELS if model.startswith("encoder")},
    "segtrain evaluate spl": {"split="},
    "segtrain evaluate run=x ba": {"batch_size="},
    "segtrain predict run=x overw": {"overwrite="},
    "segtrain predict x overw": {"overwrite="},
    "segtrain predict my/run=x,y input=a overw": {"overwrite="},
}
SCRIPT = """
import contextlib, io, json, os, sys
from segtrain import cli

def answer(arguments, line=""):
    os.environ["COMP_LINE"], os.environ["COMP_POINT"] = line, str(len(line))
    sys.argv, status, output, errors = ["segtrain"], 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            cli.main(arguments)
        except SystemExit as exit:
            status = exit.code
    heavy = sorted({"tensorflow", "keras", "albumentations", "cv2"} & set(sys.modules))
    return {"status": status, "output": output.getvalue(), "errors": errors.getvalue(), "imported": heavy}

questions, lines = json.load(sys.stdin)
completions = {line: answer(["-sc", "query=bash"], line) for line in lines}
answers = {name: answer(arguments) for name, arguments in questions.items()}
print(json.dumps({"answers": answers, "completions": completions}))
"""


@pytest.fixture(scope="module")
def process(tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("process")
    finished = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps([QUESTIONS, list(COMPLETIONS)]),
        cwd=folder, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return SimpleNamespace(folder=folder, **json.loads(finished.stdout))


def test_questions_and_mistakes_import_nothing_heavy(process):
    answers = process.answers | process.completions
    assert len(answers) == len(QUESTIONS) + len(COMPLETIONS)
    # Data and runs are looked at with other libraries, and without TensorFlow all the same.
    light = {name: {"albumentations", "cv2"} if name.startswith("no ") else set() for name in answers}
    assert {name: set(answer["imported"]) - light[name] for name, answer in answers.items()} == dict.fromkeys(
        answers, set()
    )


def test_questions_leave_nothing(process):
    begun = {arguments[-1].partition("=")[2] for name, arguments in QUESTIONS.items() if name.startswith("no ")}
    assert set(os.listdir(process.folder)) <= begun


def test_help_tells_verbs_options_and_settings(process):
    answer = process.answers["help"]
    assert (answer["status"], answer["errors"]) == (0, "")
    lines = answer["output"].splitlines()
    for verb in cli.SCHEMAS:
        assert verb == "train" or any(line.startswith(f"segtrain {verb} ") for line in lines)
    assert f"model: {', '.join(sorted(MODELS))}" in lines
    assert {"batch_size: 16", "  learning_rate: 0.2"} <= set(lines)


def test_help_tells_of_groups_and_verbs(process):
    group, verb = process.answers["help with a group"], process.answers["help with a verb"]
    assert (group["status"], group["errors"], verb["status"], verb["errors"]) == (0, "", 0, "")
    assert "Options, typed as experiment=NAME:" in group["output"].splitlines()
    assert "output: ???                  # folder that is written to" in verb["output"].splitlines()


def test_the_config_is_shown(process):
    answer = process.answers["config"]
    assert (answer["status"], answer["errors"]) == (0, "")
    config = yaml.safe_load(answer["output"])
    assert config["model"]["_target_"] == "segtrain.models.segnet_small.build_segnet_small"
    assert config["augmentation"]["transforms"]["flip"]["p"] == 0.5
    assert "hydra" not in config


@pytest.mark.parametrize(
    ("name", "shown"), [("info", "Hydra"), ("defaults", "model/segnet_small"), ("hydra", "--multirun")]
)
def test_hydras_own_answers(process, name, shown):
    assert process.answers[name]["status"] == 0
    assert shown in process.answers[name]["output"]


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("option", 2, "Did you mean 'segnet'?"),
        ("setting", 2, "Did you mean 'learning_rate'?"),
        ("sweep", 2, "model.width=0"),
        ("no data", 1, "dataset.root=nowhere"),
        ("no data to inspect", 1, "dataset.root=nowhere"),
        ("no run", 1, "run=nowhere"),
        ("no images", 1, "run=nowhere"),
        ("no sweep", 2, "run=nowhere"),
    ],
)
def test_a_mistake_is_answered_in_a_new_process(process, name, status, words):
    answer = process.answers[name]
    assert (answer["status"], answer["output"]) == (status, "")
    assert re.fullmatch(r"segtrain: error: .*\n", answer["errors"])
    assert words in answer["errors"]


@pytest.mark.parametrize("line", COMPLETIONS)
def test_completion(process, line):
    assert set(process.completions[line]["output"].split()) == COMPLETIONS[line]


def test_completion_begins_with_verbs_and_settings(segtrain, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "segtrain ")
    monkeypatch.setenv("COMP_POINT", "9")
    offered = set(segtrain("-sc", "query=bash").output.split())
    # A group that has a group in it is offered bare, since either may follow: `=` or `/`.
    assert offered >= {*cli.SCHEMAS, "model", "dataset=", "epochs=", "seed="}


BASH = """
eval "$(segtrain -sc install=bash)"
complete_line() {
    COMP_LINE="$1"; COMP_POINT=${#1}; words=($1); COMP_CWORD=$((${#words[@]} - 1)); COMPREPLY=()
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
}
complete_line "segtrain model=seg"
complete_line "segtrain evaluate spl"
"""


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes(tmp_path):
    commands = Path(sys.executable).parent
    if not (commands / "segtrain").exists():
        pytest.skip("the command is not installed beside this Python")
    finished = subprocess.run(
        ["bash", "-c", BASH], env=os.environ | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"},
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    models, split = finished.stdout.splitlines()
    assert set(models.split()) == {f"model={model}" for model in MODELS if model.startswith("seg")}
    assert split == "split="
    assert os.listdir(tmp_path) == []


def test_runs_that_are_named_by_the_time_get_folders_of_their_own(segtrain, asked, tmp_path):
    for _ in range(3):
        assert segtrain("hydra.run.dir=out/${now:%Y}").status == 0
    year = min(os.listdir(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out")) == [year, f"{year}-2", f"{year}-3"]
    assert all((tmp_path / "out" / name / ".hydra").is_dir() for name in os.listdir(tmp_path / "out"))
    assert len(asked) == 3


@pytest.mark.parametrize(
    "typed",
    [
        ["train", "trainer.strategy=multiworker", "hydra.run.dir=run", "seed=7"],
        ["train", "trainer.strategy=multiworker"],
        ["resume", "run"],
    ],
)
def test_a_worker_that_is_not_the_chief_leaves_no_file(segtrain, asked, tmp_path, monkeypatch, typed):
    cluster, run = Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0), tmp_path / "run"
    monkeypatch.setenv("TF_CONFIG", cluster.tf_config(0))
    assert segtrain("train", "trainer.strategy=multiworker", "hydra.run.dir=run").status == 0
    shutil.copy(run / ".hydra" / "config.yaml", run)
    (run / "results.json").write_text("{}", encoding="utf-8")
    (run / "segtrain.log").unlink()
    monkeypatch.setenv("TF_CONFIG", cluster.tf_config(1))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert run / ".hydra" / "overrides.yaml" in before
    assert segtrain(*typed).status == 0
    assert [verb for verb, _ in asked] == ["train", typed[0]]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_folder_that_is_typed_is_taken_as_it_is(segtrain, asked, tmp_path):
    for _ in range(2):
        assert segtrain("hydra.run.dir=out").status == 0
    assert os.listdir(tmp_path) == ["out"]
