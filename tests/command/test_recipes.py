"""An experiment and what is typed beside it: one in a run, a sweep as a sweep, and who set what does not fit."""

import os

import pytest

TABLE_1 = 8


@pytest.fixture
def segtrain(segtrain, monkeypatch):
    """Runs a command line in an empty folder; returns its status, what it said, and the settings of each training."""
    jobs = []
    monkeypatch.setattr("segtrain.verbs.train.train", lambda settings, *rest: jobs.append(settings))

    def run(line):
        ended = segtrain(*line.split())
        return ended.status, ended.errors, jobs

    return run


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "experiment=r1_segnet experiment=r2_unet",
            "experiment=r1_segnet experiment=r2_unet: a run has one experiment. Type experiment=r2_unet, or a sweep "
            "over them: segtrain -m experiment=r1_segnet,r2_unet.",
        ),
        ("experiment=[r1_segnet,r1_encoder_decoder]", "a run has one experiment. Type experiment=r1_encoder_decoder,"),
        ("-m experiment=r1_segnet seed=1,2 experiment=r2_unet", "a run has one experiment. Type experiment=r2_unet,"),
        (
            "experiment=camvid_table1 size=tiny",
            "experiment=camvid_table1: is a sweep over model. Type segtrain -m experiment=camvid_table1, or "
            "model=VALUE for one run of it.",
        ),
        ("-m experiment=r1_segnet,camvid_table1 size=tiny", "Type segtrain -m experiment=camvid_table1, or model="),
        (
            "experiment=r3_unet_resnet50 model=segnet_small size=tiny",
            "experiment=r3_unet_resnet50 sets model.encoder, which model=segnet_small does not take: there is no such "
            "setting. Settings here: width, dropout, batch_norm_momentum. Leave model=segnet_small out, or type "
            "~model.encoder too.",
        ),
        (
            "-m experiment=r1_segnet model=segnet_small,unet size=tiny",
            "experiment=r1_segnet sets model.dropout, which model=unet does not take",
        ),
        # A model and an optimizer may have a rate together: that is no answer where one of them is missing.
        ("model=fcn8s ~optimizer", "optimizer is required. Type optimizer=OPTION, or leave ~optimizer out."),
        ("~model", "model is required. Type model=OPTION, or leave ~model out."),
        ("model=[unet,segnet]", "model=[unet,segnet]: has to name one option, such as model=unet."),
        # What is typed is the typist's, and what an option file of one's own says is the file's.
        ("experiment=r1_segnet model=unet model.dropout=0.3", "error: model.dropout: there is no such setting."),
        ("experiment=r1_segnet model=unet ~model.dropout model.width=x", "error: model.width=x: has to be an integer."),
        (
            "experiment=r1_segnet dataset=camvid ~dataset.split ~dataset.void_as_class",
            "error: dataset.root is required",
        ),
        ("experiment=r2_unet model=mine --config-dir conf_of_mine", "error: model.widht: there is no such setting."),
    ],
)
def test_a_mistake_is_answered_in_a_line(segtrain, tmp_path, tmp_path_factory, line, words):
    own = tmp_path_factory.mktemp("own") / "model"
    own.mkdir()
    (own / "mine.yaml").write_text("_target_: segtrain.models.unet.build_unet\nwidht: 3\n", encoding="utf-8")
    status, said, jobs = segtrain(line.replace("conf_of_mine", str(own.parent)))
    assert (status, jobs, os.listdir(tmp_path)) == (2, [], [])
    assert said.startswith("segtrain: error: ")
    assert said.count("\n") == 1
    assert words in said


@pytest.mark.parametrize(
    ("line", "runs"),
    [
        ("experiment=camvid_table1 model=bilinear size=tiny", 1),
        ("-m experiment=camvid_table1 size=tiny", TABLE_1),
        ("-m experiment=camvid_table1 model=bilinear,fcn_basic size=tiny", 2),
        ("-m experiment=r1_segnet,r2_unet size=tiny", 2),
        ("experiment=r3_unet_resnet50 model=segnet_small ~model.encoder size=tiny", 1),
    ],
)
def test_what_is_advised_works(segtrain, line, runs):
    _, _, jobs = segtrain(line)
    assert len(jobs) == runs
    assert len({str(job.model) for job in jobs}) == runs
