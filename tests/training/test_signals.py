"""Signals, sent to processes of their own: what they print and how they end. None of them needs TensorFlow."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import pytest

from segtrain.training.signals import Interrupted, StopSignals

# A step that Python hears nothing in, as TensorFlow's: it goes on when a signal comes.
BEGINNING = """
import hashlib, sys, time
from segtrain.training.signals import Interrupted, StopSignals

def say(word):
    print(word, flush=True)

def compute(seconds):
    say("computing")
    end = time.monotonic() + seconds
    hashlib.pbkdf2_hmac("sha256", b"", b"", int(seconds * RATE))

start = time.monotonic()
hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000)
RATE = 200_000 / (time.monotonic() - start)
signals = StopSignals("Go on.", seconds_to_leave=LEAVE)
signals.save = lambda: say("saved")
"""


def play(script, *sends, leave=60):
    """Runs a script and sends a signal whenever it has printed the next awaited word."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGINNING.replace("LEAVE", str(leave)) + textwrap.dedent(script)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    words = []
    for awaited, number in sends:
        while not words or words[-1] != awaited:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            words.append(line.strip())
        time.sleep(0.1)
        process.send_signal(number)
        words.append("sent")
    output, errors = process.communicate(timeout=60)
    return SimpleNamespace(words=words + output.split(), errors=errors, status=process.returncode)


LOOP = """
try:
    with signals, signals.deferred():
        for step in range(3):
            with signals.waiting():
                pass
            compute(0.5)
            say(f"step{step}")
        say("end")
except Interrupted as error:
    say(f"{error}".replace(" ", "_"))
    sys.exit(error.status)
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_the_step_is_finished_then_saved(number, status):
    played = play(LOOP, ("computing", number))
    name = signal.Signals(number).name
    assert played.words == ["computing", "sent", "step0", "saved", f"interrupted_by_{name}._Go_on."]
    assert (played.status, played.errors) == (status, "")


def test_usr1_saves_and_goes_on():
    played = play(LOOP, ("computing", signal.SIGUSR1))
    assert played.words == ["computing", "sent", "step0", "saved", "computing", "step1", "computing", "step2", "end"]
    assert played.status == 0


def test_after_the_last_step_it_stops_too():
    played = play(LOOP, ("step1", signal.SIGTERM))
    assert played.words[-3:] == ["end", "saved", "interrupted_by_SIGTERM._Go_on."]
    assert played.status == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number):
    played = play(LOOP.replace("compute(0.5)", "compute(30)"), ("computing", number), ("sent", number))
    assert played.words == ["computing", "sent", "sent"]
    assert played.status == 128 + number


def test_a_wait_that_python_can_leave_is_left_at_once():
    played = play(LOOP.replace("pass", "say('waiting'); time.sleep(60)"), ("waiting", signal.SIGTERM))
    assert played.words == ["waiting", "sent", "saved", "interrupted_by_SIGTERM._Go_on."]


def test_usr1_in_a_wait_saves_at_once():
    script = LOOP.replace("pass", "say('waiting'); time.sleep(1)")
    played = play(script, ("waiting", signal.SIGUSR1))
    assert played.words[:4] == ["waiting", "sent", "saved", "computing"]
    assert played.words[-1] == "end"


def test_a_signal_while_saving_lets_the_save_end():
    """Two that write one file would leave a mixture of both."""
    script = LOOP.replace("pass", "say('waiting'); time.sleep(1)").replace("try:", SLOW_SAVE, 1)
    played = play(script, ("waiting", signal.SIGUSR1), ("saving", signal.SIGTERM))
    assert played.words == ["waiting", "sent", "saving", "sent", "saved", "interrupted_by_SIGTERM._Go_on."]


SLOW_SAVE = """
def save():
    say("saving")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        time.sleep(0.01)
    say("saved")

signals.save = save
try:
"""


def test_a_wait_that_does_not_end_is_saved_by_the_thread():
    """TensorFlow waits for a file server that does not answer."""
    played = play(LOOP.replace("pass", "compute(30)"), ("computing", signal.SIGTERM), leave=0.5)
    assert played.words == ["computing", "sent", "saved"]
    assert (played.status, played.errors) == (143, "segtrain: error: interrupted by SIGTERM. Go on.\n")


def test_a_step_that_does_not_end_is_left_unsaved():
    """What is half done is nothing to save: the former checkpoint counts."""
    played = play(LOOP.replace("compute(0.5)", "compute(30)"), ("computing", signal.SIGINT), leave=0.5)
    assert played.words == ["computing", "sent"]
    assert (played.status, played.errors) == (130, "segtrain: error: interrupted by SIGINT. Go on.\n")


def test_outside_training_there_is_nothing_to_finish():
    script = """
    try:
        with signals:
            say("reading")
            time.sleep(60)
    except Interrupted as error:
        sys.exit(error.status)
    """
    played = play(script, ("reading", signal.SIGTERM))
    assert (played.words, played.status) == (["reading", "sent"], 143)


def test_everything_is_as_before_afterwards():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    before = [signal.getsignal(number) for number in numbers]
    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with StopSignals():
            assert signal.getsignal(signal.SIGTERM) != before[0]
            with pytest.raises(Interrupted):
                os.kill(os.getpid(), signal.SIGTERM)
        assert [signal.getsignal(number) for number in numbers] == before
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)  # they end by themselves
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files


def test_in_another_thread_it_does_nothing():
    found = []

    def work():
        with StopSignals() as signals, signals.deferred(), signals.waiting():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_it_is_an_interrupt_as_pythons_own():
    """What catches errors lets it through, and what clears up after Ctrl-C does so here."""
    assert issubclass(Interrupted, KeyboardInterrupt)
    assert re.fullmatch(r"interrupted by SIGTERM\. .*", str(Interrupted(signal.SIGTERM, "Type it.")))


def test_a_process_leaves_though_nobody_reads_what_it_says():
    code = "from segtrain.training.signals import leave; leave(3, 'told')"
    reading, writing = os.pipe()
    os.close(reading)
    assert subprocess.run([sys.executable, "-c", code], stderr=writing, timeout=60).returncode == 3
    os.close(writing)
