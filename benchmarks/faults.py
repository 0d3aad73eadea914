"""Does a run survive what can happen to it? Faults are made, for real, and what comes out is compared.

    python -m benchmarks.faults [--faults kill,flip] [--share 0.1] [--seed 0] [--json]
    python -m benchmarks.faults --busy --faults kill,stream --trials 300
    python -m benchmarks.faults --model ladder --faults kill,stream,devices,processes --share 0.25

Each row is a kind of fault: how many times it was made, how many times the run came through, and what was
compared. A run comes through if, after the same command was given again as often as it took, its digest is
that of a run that nothing happened to: the arrays of the last state, every line of metrics but the clock's
fields, and every picture, byte for byte. About an hour on two cores; ``--share 0.1`` makes a tenth of
the trials. Exits with code 1 if a run was lost, and says all that it printed.

``--busy`` keeps every core busy meanwhile, with as many processes as there are cores: threads then take turns
at moments at which they do not on an idle machine. ``--trials`` is how often runs are ended in all, half of
them runs whose images are streamed.
"""

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Eight simulated devices for the crossings; the processes that are started use one.
if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax

from benchmarks.tables import Column, Row, device_name, emit, one_or_more, parser, provenance
from jaxvae.config import Config
from tests.faults import inside, outside
from tests.faults.harness import FLAGS, LADDER_FLAGS, Bench, Outcome, every_core_busy

KINDS = (
    *("kill", "stream", "flip", "truncate", "delete", "disk", "term", "interrupt", "hangup", "numbers"),
    *("devices", "processes"),
)
ENDS = {
    "kill": (200, signal.SIGKILL, ()),
    "stream": (50, signal.SIGKILL, ("--data.placement", "stream")),
    "term": (20, signal.SIGTERM, ()),
    "interrupt": (20, signal.SIGINT, ()),
    "hangup": (20, signal.SIGHUP, ()),
}
"""The kinds that end a process: how often, by which signal, and the flags of the runs."""
MODELS = {"mlp": (FLAGS, inside.SMALL), "ladder": (LADDER_FLAGS, inside.LADDER)}
"""What is trained: the flags of runs in processes of their own, and the configuration of runs in this one."""
COLUMNS = (
    Column("fault", lambda row: row["fault"]),
    Column("trials", lambda row: str(row["trials"])),
    Column("survived", lambda row: str(row["survived"])),
    Column("lost", lambda row: str(row["lost"])),
    Column("compared", lambda row: row["compared"]),
)


def ended(bench: Bench, kind: str, trials: int, beside: str = "") -> Outcome:
    """Ends processes at random moments, as one of ``ENDS`` says."""
    _, number, flags = ENDS[kind]
    name = number.name + ", images streamed" * (kind == "stream") + beside
    return outside.interrupted(bench.with_flags(*flags), name, trials, number)


def outcomes_when_busy(bench: Bench, kinds: Sequence[str], trials: int) -> Iterator[Outcome]:
    """The same beside a load, shared out evenly among ``kinds``, all of ``ENDS``."""
    with every_core_busy():
        for place, kind in enumerate(kinds):
            some = trials // len(kinds) + (place < trials % len(kinds))
            yield ended(bench, kind, some, ", every core busy")


def outcomes(bench: Bench, kind: str, share: float, small: Config) -> Iterator[Outcome]:
    """Makes one of ``KINDS``; ``share`` of the usual number of trials. ``small``: the model of runs that are
    made in this process."""

    def some(trials: int) -> int:
        return max(1, round(trials * share))

    if kind in ENDS:
        yield ended(bench, kind, some(ENDS[kind][0]))
    if kind == "stream":
        yield inside.several_stream(bench, 4)
    elif kind == "flip":
        yield outside.damaged(bench, "one byte changed", outside.flip, some(200), some(10))
        yield outside.all_damaged(bench)
    elif kind == "truncate":
        yield outside.damaged(bench, "a file cut short", outside.truncate, some(20), some(4))
    elif kind == "delete":
        yield outside.damaged(bench, "a file deleted", outside.delete, some(20), some(4))
    elif kind == "disk":
        yield outside.full(bench, some(5))
        yield outside.file_size_limit(bench)
        yield outside.read_only(bench, some(2))
        yield outside.vanished(bench, some(2))
    elif kind == "numbers":
        yield from inside.bad_data(bench, some(10))
        yield inside.diverging(bench)
    elif kind == "devices":
        yield inside.crossed(bench, (1, 2, 4, 8), small, precision="float32")
        yield inside.crossed(bench, (1, 2, 4, 8), small, precision="bfloat16")
        yield inside.crossed(bench, (1, 2, 4, 8), small, reduction="fixed")
    elif kind == "processes":
        yield inside.several(bench, 2)
        yield inside.several(bench, 4)


def main() -> int:
    """Makes the faults and prints what came of them; tells of each as soon as it is known."""
    made = parser(__doc__ or "")
    made.add_argument("--faults", type=one_or_more(*KINDS), default=KINDS, help=f"of {','.join(KINDS)}")
    made.add_argument("--model", choices=MODELS, default="mlp", help="what is trained")
    made.add_argument("--share", type=float, default=1.0, help="of the usual number of trials")
    made.add_argument("--busy", action="store_true", help=f"beside a load; of {','.join(ENDS)} alone")
    made.add_argument("--trials", type=int, default=300, help="with --busy: how many, of all kinds together")
    made.add_argument("--seed", type=int, default=0, help="of the random moments, files and offsets")
    options = made.parse_args()
    if options.busy and not set(options.faults) <= ENDS.keys():
        made.error(f"--busy needs --faults, of {','.join(ENDS)}")
    device, rows = device_name(jax.devices()[0]), list[Row]()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        flags, small = MODELS[options.model]
        bench = Bench(Path(folder), flags, options.seed)
        if options.busy:
            made_now = outcomes_when_busy(bench, options.faults, options.trials)
        else:
            made_now = (
                each for kind in options.faults for each in outcomes(bench, kind, options.share, small)
            )
        for outcome in made_now:
            counts = {"trials": outcome.trials, "survived": outcome.survived}
            lost = outcome.trials - outcome.survived
            row = {
                "fault": outcome.fault,
                "model": options.model,
                **counts,
                "lost": lost,
                "compared": outcome.compared,
            }
            rows.append({**row, "losses": outcome.losses, "seed": options.seed, **provenance(device)})
            print(", ".join(column.text(row) for column in COLUMNS), *outcome.losses, sep="\n    lost: ")
    emit(rows, COLUMNS, options.json)
    return 1 if any(row["lost"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
