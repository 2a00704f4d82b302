"""Predicts images and videos with a finished run."""

from pathlib import Path

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from segtrain.prediction.inputs import find_inputs
from segtrain.prediction.output_files import require_folder, require_free_names
from segtrain.prediction.unreadable import UnreadableFilesError
from segtrain.quiet_start import native_messages_to
from segtrain.reports.terminal import note_on_windows, print_line
from segtrain.run_folder import RunFolder
from segtrain.settings import PredictSettings
from segtrain.verbs.invocation import Invocation


def predict(settings: PredictSettings, invocation: Invocation) -> None:
    """Writes masks and overlays, or what else is asked for, of images and videos, at their own sizes.

    Raises:
        ValueError: `run` is no finished run, there are no images, or masks are there already.
        UnreadableFilesError: some files could not be read; the others are written.
    """
    run, console = RunFolder.of_run(settings.run), Console()
    output, formats = Path(settings.output).expanduser(), list(dict.fromkeys(settings.format))
    files = find_inputs(settings.input, output)
    require_folder(output)
    require_free_names(files, output, formats, settings.overwrite)
    note_on_windows(console, settings.sliding_window, run.read_results().get("image_size"))

    progress = Progress(
        *Progress.get_default_columns(), MofNCompleteColumn(), console=console, disable=not console.is_terminal
    )
    with native_messages_to(invocation.folder.log), progress:
        from segtrain.prediction.predictor import Predictor
        from segtrain.prediction.running import predict_files

        task = progress.add_task("predicting", total=sum(not file.is_video for file in files))
        outcome = predict_files(
            Predictor(run, tta=settings.tta, sliding_window=settings.sliding_window, overlap=settings.overlap),
            files,
            output=output,
            formats=formats,
            batch_size=settings.batch_size,
            advance=lambda: progress.advance(task),
            expect=lambda count: progress.update(task, total=progress.tasks[0].total + count),
        )
    print_line(console, f"{outcome.describe()} in {output}: {', '.join(formats)}")
    if outcome.unreadable:
        raise UnreadableFilesError(outcome.unreadable, len(files), invocation.folder.log)
