from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from segtrain.run_folder import RunFolder

COMPLETED = {
    "status": "completed",
    "seed": 1,
    "val": dict.fromkeys(("mean_iou", "pixel_accuracy", "mean_class_accuracy"), 0.5)
    | {"per_class_iou": {"ground": 0.5}},
    "parameters": 10,
    "images_per_second": 1.0,
}


@pytest.fixture
def completed() -> dict[str, Any]:
    """What a job that ended at once leaves as results.json."""
    return COMPLETED


@pytest.fixture
def jobs(monkeypatch) -> SimpleNamespace:
    """Has jobs end at once: `done` are the seeds trained, `resumed` the folders gone on with, `failing` seeds fail."""
    seen = SimpleNamespace(done=[], resumed=[], failing=set())

    def end(settings, folder: RunFolder) -> float:
        folder.config.write_text("seed: 1\n")
        folder.write_results({"status": "interrupted"})
        if settings.seed in seen.failing:
            folder.write_results({"status": "failed", "error": "ValueError: no luck"})
            raise ValueError("no luck")
        folder.write_results(COMPLETED | {"seed": settings.seed})
        return 0.5

    def train(settings, invocation):
        seen.done.append(settings.seed)
        return end(settings, invocation.folder)

    def resume(settings, invocation):
        seen.resumed.append(RunFolder(settings.run).path.name)
        return end(SimpleNamespace(seed=0), RunFolder(settings.run))

    monkeypatch.setattr("segtrain.verbs.train.train", train)
    monkeypatch.setattr("segtrain.verbs.resume.resume", resume)
    seen.train = train
    return seen


@pytest.fixture(scope="session")
def files_of_two_seeds() -> dict[Path, str]:
    """What `two_seeds` holds, once it is made. HERE stands for the folder that it was begun in."""
    return {}


@pytest.fixture
def two_seeds(segtrain, jobs, tmp_path, files_of_two_seeds) -> Path:
    """The folder `out` of a sweep over two seeds that was begun in the test's folder and is complete."""
    out = tmp_path / "out"
    if not files_of_two_seeds:
        segtrain("-m", "seed=1,2", "hydra.sweep.dir=out")
        for path in out.rglob("*"):
            if path.is_file():
                text = path.read_text(encoding="utf-8").replace(str(tmp_path), "HERE")
                files_of_two_seeds[path.relative_to(out)] = text
    for name, text in files_of_two_seeds.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text.replace("HERE", str(tmp_path)), encoding="utf-8")
    jobs.done.clear()
    return out
