"""Examines all the data of a config."""

from rich.console import Console

from segtrain.inspection.examination import examine
from segtrain.inspection.findings import Findings
from segtrain.inspection.gallery import gather_draws, gather_samples, try_augmentation
from segtrain.inspection.summary import summarise
from segtrain.instantiate import build
from segtrain.parts import open_dataset
from segtrain.reports import inspection as reports
from segtrain.reports.terminal import print_line
from segtrain.settings import TrainSettings
from segtrain.verbs.invocation import Invocation


def inspect(settings: TrainSettings, invocation: Invocation) -> None:
    """Reads every pair of the data; writes what is in it and what is wrong with it as inspect.json and a page.

    Raises:
        ValueError: training with this data would go wrong; what is wrong has been printed by then.
    """
    folder, console, findings = invocation.folder, Console(), Findings()
    of_run = {"image_size": settings.image_size, "seed": settings.seed}
    try:
        dataset = open_dataset(settings.dataset, tell=findings.tell)
        augmentation = build(settings.augmentation, ignore_label=dataset.ignore_label, channels=dataset.channels)
        try_augmentation(dataset, augmentation, **of_run)
    except ValueError:
        reports.report_problems(folder, findings, console)
        # What was told of files is why: a folder whose masks are not found has none to take classes from, say.
        reports.require_no_errors({"errors": findings.counts("error")})
        raise
    surveys = examine(dataset, findings, console)
    inspection = summarise(dataset, surveys, findings, settings.dataset) | {"command": invocation.command}
    reports.report_inspection(folder, inspection, console)
    pictures, failure = reports.draw_samples(folder, gather_samples(dataset, surveys), dataset), None
    try:
        pictures |= reports.draw_augmented(folder, gather_draws(dataset, surveys, augmentation, **of_run), dataset)
    except ValueError as error:  # on another sample than was tried: the page tells of the data all the same
        failure = str(error)
    reports.write_inspection_page(folder, inspection, pictures)
    print_line(console, f"page {folder.inspection_page}")
    reports.require_no_errors(inspection, failure)
