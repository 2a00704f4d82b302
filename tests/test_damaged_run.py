"""Files of a run that were cut off, whose bits were turned over or whose values are others: told in a line, or right.

No TensorFlow: what a verb does with a run that it could read is not done.
"""

import json
import random
from types import SimpleNamespace

import hydra
import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf

from segtrain.command.composition import config_folder
from segtrain.resumption import plan_resumption
from segtrain.run_folder import RunFolder
from segtrain.settings import CompareSettings, EvaluateSettings, with_absolute_paths
from segtrain.training.state_files import state_path
from segtrain.verbs import compare as compare_verb
from segtrain.verbs import evaluate as evaluate_verb

COUNTS = [40, pytest.param(400, marks=pytest.mark.long)]
EVALUATION = {"split": "val", "scale": "native", "tta": [], "sliding_window": None, "overlap": 0.5}
EVALUATION |= {"metric_convention": None, "batch_size": None}


class ReachedError(Exception):
    """All that the run's own files say was taken."""


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep of two runs, as far as its files are read."""

    def reach(*_):
        raise ReachedError

    monkeypatch.setattr("segtrain.verbs.evaluate.start_tensorflow", reach)
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = with_absolute_paths(hydra.compose("smoke", ["dataset.num_train=12", "dataset.num_val=8"]))
    for seed in (1, 2):
        folder = RunFolder(tmp_path / "sweep" / f"seed-{seed}")
        (folder.path / ".hydra").mkdir(parents=True)
        (folder.path / ".hydra" / "overrides.yaml").write_text(f"- seed={seed}\n", encoding="utf-8")
        OmegaConf.save(config, folder.config)
        scores = {"mean_iou": 0.5, "pixel_accuracy": 0.75, "mean_class_accuracy": 0.625}
        folder.write_results(
            {
                "status": "completed",
                "best_epoch": 2,
                "val": {**scores, "per_class_iou": {"ground": 0.5, "disc": None}},
                "parameters": 1234,
                "images_per_second": 99.5,
                "seed": seed,
                "warnings": ["after epoch 1: …"],
                "data": {split: {"images": 12, "names_sha256": "0a"} for split in ("train", "val")},
                "metric_contract": {"convention": "segtrain"},
            }
        )
        folder.metrics.write_text("epoch,loss\n1,0.5\n2,0.25\n", encoding="utf-8")
        folder.per_image_scores.write_text("image,mean_iou\nval_00000,0.5\n", encoding="utf-8")
        folder.last.mkdir(parents=True)
        folder.best_model.write_bytes(b"")
        np.savez(state_path(folder, 2, 0).open("wb"), facts="{}")
    return tmp_path / "sweep"


def resume(folder):
    resumption = plan_resumption(str(folder.path), ["epochs=9"])
    assert not resumption.has_nothing_to_do
    assert resumption.notes()
    resumption.require_same_data({"train": {"images": 12, "names_sha256": "0a"}})


def evaluate(folder):
    into = RunFolder(folder.path / "evaluation")
    evaluate_verb.evaluate(EvaluateSettings(run=str(folder.path), **EVALUATION), SimpleNamespace(folder=into))


def compare(folder):
    compare_verb.compare(CompareSettings(run=str(folder.path.parent)), None)
    comparison = json.loads((folder.path.parent / "comparison.json").read_text("utf-8"))
    assert len(comparison["jobs"]) == 2


def cut_off(content, rng):
    return content[: rng.randrange(len(content))]


def flip_bits(content, rng):
    content = bytearray(content)
    for _ in range(rng.choice((1, 1, 3))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def change_a_value(content, rng):
    """Of JSON or YAML, whose syntax stays right."""
    values = json.loads(content) if content.startswith(b"{") else yaml.safe_load(content)
    value = rng.choice((None, [], {}, "x", -1, 1e300, True, ["ö"], {"val": 1}))
    inner, key = values, None
    while isinstance(inner, dict) and inner and (key is None or rng.random() < 0.7):
        outer, key = inner, rng.choice(sorted(inner))
        inner = outer[key]
    if rng.random() < 0.3:
        del outer[key]
    else:
        outer[key] = value
    return json.dumps(value if rng.random() < 0.05 else values).encode()


DAMAGES = {"results.json": (cut_off, flip_bits, change_a_value), "config.yaml": (cut_off, flip_bits, change_a_value)}
DAMAGES |= dict.fromkeys(("metrics.csv", "per_image.csv"), (cut_off, flip_bits))


def said(verb, folder):
    """Returns the message of an error that users are told; None where there is none."""
    try:
        verb(folder)
    except ReachedError:
        return None
    except (ValueError, OSError) as error:
        return str(error)


@pytest.mark.parametrize("verb", [resume, evaluate, compare], ids=lambda verb: verb.__name__)
@pytest.mark.parametrize("count", COUNTS)
def test_damage_is_told_in_a_line(sweep, verb, count):
    rng, told = random.Random(0), 0
    folder = RunFolder(sweep / "seed-1")
    for _ in range(count):
        name = rng.choice(sorted(DAMAGES))
        damage = rng.choice(DAMAGES[name])
        path = folder.path / name
        original = path.read_bytes()
        path.write_bytes(damage(original, rng))
        message = said(verb, folder)
        path.write_bytes(original)
        assert message is None or len(message.splitlines()) == 1, (name, damage)
        told += message is not None
    assert told < count * 0.9
    assert told > count / 10 or verb is compare  # which may do without the run
