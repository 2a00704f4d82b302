"""Signals that end or save a run: SIGTERM and SIGINT stop it at a place it can go on from, SIGUSR1 saves it.

TensorFlow keeps Python waiting while it computes or waits for data, and Python runs a signal's handler only when it is
back. So there are two who listen: the handler, and a thread that leaves in its place where it does not come back.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from segtrain.quiet_start import own_standard_error

STOPS = (signal.SIGTERM, signal.SIGINT)
# Schedulers and containers kill ten seconds after they have asked.
SECONDS_TO_LEAVE = 7.0


class Interrupted(KeyboardInterrupt):
    """A signal ended the run; the message says how to go on.

    Attributes:
        status: what the process is to exit with: 143 for SIGTERM, 130 for SIGINT.
    """

    def __init__(self, number: int, how_to_go_on: str):
        super().__init__(f"interrupted by {signal.Signals(number).name}. {how_to_go_on}")
        self.status = 128 + number


class StopSignals:
    """Listens for signals inside a `with` statement, and leaves them as they were after it.

    A first SIGTERM or SIGINT raises `Interrupted`: at once, or in a `deferred()` block as soon as it comes to a
    `waiting()` block, after `save` has been called. A second one ends the process at once. SIGUSR1 calls `save` there.
    Outside the main thread, and where it is never entered, it does nothing.

    Args:
        how_to_go_on: a sentence for the user.
        seconds_to_leave: after this long the process ends itself, where TensorFlow is still computing or reading.
    """

    def __init__(self, how_to_go_on: str = "", seconds_to_leave: float = SECONDS_TO_LEAVE):
        self.save: Callable[[], None] = lambda: None
        self._how_to_go_on = how_to_go_on
        self._seconds_to_leave = seconds_to_leave
        self._stop = 0
        self._save_requested = False
        self._is_deferred = False
        # Held by whoever saves. The thread does so only while the loop waits, when nothing changes.
        self._lock = threading.RLock()
        self._is_waiting = False
        self._is_saving = False
        self._is_saved = False
        self._ended = threading.Event()
        self._former: dict[int, object] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is not threading.main_thread():
            return self
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._former_wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in (*STOPS, signal.SIGUSR1):
            self._former[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, args=(self._reader,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._former:
            return
        for number, handler in self._former.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._former_wakeup)
        self._ended.set()
        os.close(self._writer)  # which ends the listening thread

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """What is done inside is not broken off; signals wait for the next `waiting()`, or for the end."""
        self._is_deferred = True
        try:
            yield
            self._heed()
        finally:
            self._is_deferred = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """What is done inside changes nothing that is saved: it is a place to save at, and may be broken off."""
        self._heed()
        self._is_waiting = True
        try:
            yield
        finally:
            with self._lock:
                self._is_waiting = False

    def _handle(self, number, frame):
        if number == signal.SIGUSR1:
            self._save_requested = True
        else:
            self._stop = self._stop or number
        if self._is_waiting or not self._is_deferred:
            self._heed()

    def _heed(self):
        if self._is_saving:
            return  # a signal while a former one is being heeded, which comes by here once more
        if (self._save_requested or self._stop) and self._is_deferred:
            self._save()
        self._save_requested = False
        if self._stop:
            raise Interrupted(self._stop, self._how_to_go_on)

    def _save(self):
        with self._lock:
            self._is_saving = True
            try:
                self.save()
            finally:
                self._is_saving = False
            self._is_saved = bool(self._stop)

    def _watch(self, reader):
        """Reads the numbers of the signals as they come, also while Python waits for TensorFlow."""
        stopped = False
        with open(reader, "rb", buffering=0) as numbers:
            while number := numbers.read(1):
                if number[0] in STOPS:
                    if stopped:
                        leave(128 + number[0])
                    stopped = True
                    threading.Thread(target=self._leave_in_time, args=(number[0],), daemon=True).start()

    def _leave_in_time(self, number):
        if self._ended.wait(self._seconds_to_leave):
            return
        with self._lock:
            try:
                if self._is_waiting and not self._is_saved:
                    self._save()
            finally:
                leave(128 + number, f"segtrain: error: {Interrupted(number, self._how_to_go_on)}\n")


def leave(status: int, message: str = "") -> None:
    """Ends the process at once, whatever its other threads are doing."""
    error_stream = own_standard_error()
    if os.isatty(error_stream):
        message = f"\x1b[?25h{message}"  # a progress bar hides the cursor
    with contextlib.suppress(OSError):  # nobody reads it any more
        os.write(error_stream, message.encode())
    os._exit(status)
