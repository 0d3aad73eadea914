import signal
import subprocess
import sys
import time

from jaxvae.system.platforms import cores
from tests.faults.harness import ROOT


def test_what_keeps_cores_busy_ends_with_who_started_it(tmp_path):
    program = (
        "import sys, time; from tests.faults.harness import every_core_busy\n"
        "with every_core_busy(): print('busy', flush=True); time.sleep(600 if sys.argv[1] == 'killed' else 0)"
    )
    for end in ("by itself", "killed"):
        started = subprocess.Popen([sys.executable, "-c", program, end], stdout=subprocess.PIPE, cwd=ROOT)
        assert started.stdout is not None
        assert started.stdout.readline() == b"busy\n"
        if end == "killed":
            assert len(spinning(started.pid)) == cores()
            started.kill()
        assert started.wait(60) == (0 if end == "by itself" else -signal.SIGKILL)
        started.stdout.close()
        deadline = time.monotonic() + 60
        while spinning(started.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert spinning(started.pid) == []


def spinning(parent):
    """Of the processes that were started to spin for ``parent``, those that are there."""
    listed = subprocess.run(["ps", "-ewwo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if "os.getppid()" in line and line.endswith(f" {parent}")]
