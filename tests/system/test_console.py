"""Nobody reads what is printed, or nobody can: the command goes on, and says nothing of that."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a command does: it writes, lets a library write to the file itself, and ends.
PROGRAM = """
import os, sys
from pathlib import Path
from jaxvae.system.console import open_console

open_console()
opened = open(sys.argv[1], "w")
for number in range(20_000):
    print("x" * 20, number)
    print("y" * 20, number, file=sys.stderr)
print("Grüße \\udcff")
sys.stdout.flush()
os.write(1, b"of a library")
os.write(2, b"of a library")
opened.write("kept")
"""


def sh(command, tmp_path, *arguments, program=PROGRAM, **environment):
    """A command line, in which "$0" "$@" is the program; its exit code, and what it said."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command, sys.executable, "-c", program, tmp_path / "f", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        cwd=tmp_path,
        capture_output=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        *('"$0" "$@" 2>&- | head -1', '"$0" "$@" 2>&1 >&- | head -1', '"$0" "$@" >/dev/full 2>/dev/full'),
        *('"$0" "$@" >&- 2>&-', '"$0" "$@" <&- >&- 2>&-', '"$0" "$@" 2>&1 | true'),
    ],
)
def test_a_stream_that_is_gone_closed_or_full_changes_nothing_else(tmp_path, command):
    done = sh(command, tmp_path)
    assert done.returncode == 0, done
    assert done.stderr == b""
    assert done.stdout.count(b"\n") == ("head" in command)
    # And what is opened later gets nothing that was meant for the console.
    assert (tmp_path / "f").read_text() == "kept"


def test_what_comes_after_a_full_disk_is_not_mixed_with_what_came_before(tmp_path):
    done = sh('(ulimit -f 4; exec "$0" "$@" >said)', tmp_path)
    assert done.returncode == 0, done.stderr[-300:]
    assert (tmp_path / "said").read_bytes().startswith(b"x" * 20 + b" 0\n")
    assert b"library" not in (tmp_path / "said").read_bytes()


@pytest.mark.parametrize(
    "environment",
    [
        *({"PYTHONIOENCODING": "ascii"}, {}, {"PYTHONIOENCODING": "latin-1"}),
        *({"PYTHONUNBUFFERED": ""}, {"PYTHONUNBUFFERED": "1"}),
    ],
)
def test_a_character_that_the_stream_lacks_is_escaped(tmp_path, environment):
    done = sh('"$0" "$@"', tmp_path, **environment)
    assert done.returncode == 0, done.stderr[-300:]
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    assert "Grüße \udcff".encode(encoding, "backslashreplace") in done.stdout
    assert done.stderr.endswith(b"of a library")


RESULT = """
import sys
from jaxvae.errors import RunError
from jaxvae.system.console import check_output, open_console

open_console()
print("the result " * int(sys.argv[2]))
try:
    check_output()
except RunError as error:
    sys.exit(f"error: {error}")
"""


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
@pytest.mark.parametrize(
    ("command", "lost"),
    [
        ('"$0" "$@" >/dev/full', b"No space left on device"),
        ('"$0" "$@" >file', None),
        ('"$0" "$@" >&-', None),
    ],
)
def test_a_result_that_could_not_be_written_is_told(tmp_path, command, lost, environment):
    for size in ("1", "100000"):
        done = sh(command, tmp_path, size, program=RESULT, **environment)
        said = (
            b""
            if lost is None
            else b"error: not all of the result was written to standard output (%s)\n" % lost
        )
        assert (done.returncode, done.stderr) == (int(lost is not None), said)


def test_a_reader_that_wants_no_more_is_no_error(tmp_path):
    done = sh('"$0" "$@" | head -c 5', tmp_path, "100000", program=RESULT)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"the r")


def test_what_a_caller_put_in_their_place_stays(capsys):
    from jaxvae.system.console import open_console

    before = sys.stdout, sys.stderr
    open_console()
    assert (sys.stdout, sys.stderr) == before


HELP = """
import sys
from pathlib import Path
from jaxvae.commands.data import main as main_data
from jaxvae.commands.train import main

sys.argv[1:] = sys.argv[2:]
sys.exit(main(Path(sys.argv.pop(1))) if sys.argv[1] != "data" else main_data())
"""


@pytest.mark.parametrize(
    ("command", "arguments", "code"),
    [
        ('"$0" "$@" | true', (ROOT / "configs", "--help"), 0),
        ('"$0" "$@" | true', (ROOT / "configs", "--config", "mnist", "--help"), 0),
        ('"$0" "$@" | true', ("data", "--help"), 0),
        ('"$0" "$@" | true', ("data", "mnist", "--help"), 0),
        ('"$0" "$@" 2>&1 | true', (ROOT / "configs", "--config", "no"), 2),
        ('"$0" "$@" 2>&-', (ROOT / "configs", "--config", "no"), 2),
        ('"$0" "$@" 2>&-', ("data", "no"), 2),
    ],
)
def test_help_and_mistakes_whoever_reads_them(tmp_path, command, arguments, code):
    done = sh(command, tmp_path, *map(str, arguments), program=HELP)
    assert done.returncode == code, done
    assert done.stderr == b""


def test_a_run_that_nobody_hears_is_saved(tmp_path):
    flags = (
        "--config mnist --train.steps 20 --train.eval_every 10 --train.batch_size 16 --train.devices 1 "
        "--model.architecture.hidden 4 --model.latent_dim 2 --eval.importance_samples 1 --workdir Größe"
    ).split()
    command = '"$0" "$@" 2>/dev/full | head -1'
    done = sh(command, tmp_path, str(ROOT / "configs"), *flags, program=HELP, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done
    assert done.stderr == b""
    assert done.stdout.startswith(b"Images: mnist")
    assert json.loads((tmp_path / "Größe" / "summary.json").read_text())["step"] == 20
    # Again, evaluated only, and with the path that the encoding lacks on the first line.
    more = str(ROOT / "configs"), *flags
    done = sh('"$0" "$@" >said', tmp_path, *more, program=HELP, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done
    assert (tmp_path / "said").read_bytes().startswith(rb"The run in Gr\xf6\xdfe is finished at step 20")
    # Where Python itself takes the path for something else, it is refused, and not called damaged.
    done = sh('"$0" "$@"', tmp_path, *more, program=HELP, LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 2, done
    assert done.stderr.startswith(rb"error: --workdir Gr\udcc3\udcb6\udcc3\udc9fe: its path is not UTF-8")
