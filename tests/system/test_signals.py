import os
import signal
import subprocess
import sys
import time

import pytest

from jaxvae.system.signals import NoSignals, Signals

# The main thread sits in one long call, as it does while a program compiles: no handler of Python's runs.
PROGRAM = """
import contextlib, sys
import numpy as np
from jaxvae.system.signals import Signals

with Signals() as signals, signals.deferring() if sys.argv[1] == "defer" else contextlib.nullcontext():
    print("ready", flush=True)
    np.sort(np.random.default_rng(0).random(60_000_000))
print("done")
"""


def start(mode, *wrapper):
    process = subprocess.Popen(
        [*wrapper, sys.executable, "-c", PROGRAM, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    return process


def test_while_deferring_the_first_is_noted_and_python_goes_on():
    before = signal.getsignal(signal.SIGINT)
    with Signals() as signals:
        with signals.deferring():
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 10
            while signals.asked is None and time.monotonic() < deadline:
                time.sleep(0.01)
        assert signals.asked == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_otherwise_it_stops_at_once_whatever_the_main_thread_does(number):
    process = start("now")
    sent = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert said.strip().startswith(f"{number.name}: stopped at once")
    assert time.monotonic() - sent < 5


def test_a_hang_up_that_is_ignored_stays_so():
    process = start("defer", "sh", "-c", 'trap "" HUP; exec "$@"', "sh")
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
    said, errors = process.communicate(timeout=60)
    assert (process.returncode, said, errors) == (0, "done\n", "")


def test_nobody_needs_to_hear_it():
    process = start("defer")
    assert process.stderr is not None
    process.stderr.close()
    process.stderr = None
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.3)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGHUP


def test_the_second_stops_at_once():
    process = start("defer")
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "saving; once more stops at once" in said
    assert "SIGINT: stopped at once" in said


def test_a_caller_that_is_not_the_command_line_keeps_its_own_handlers():
    before = signal.getsignal(signal.SIGINT)
    with NoSignals() as signals, signals.deferring():
        assert signal.getsignal(signal.SIGINT) is before
    assert signals.asked is None
