import json

import pytest

from jaxvae.runs.goodput import PARTS, Goodput

REDONE = ("train", "data_wait", "evaluate", "checkpoint_stall")


class Machine:
    """Processes of one run, one after another, whose time passes when they say so."""

    def __init__(self, path):
        self.path, self.now = path, 0.0
        self.saved = {}

    def starts(self, step=0):
        self.ledger = Goodput(self.path, self.now, lambda: self.now)
        self.now += 1.0
        self.ledger.until_now("setup")
        self.ledger.continue_from(step, self.saved.get(step, {}))
        return self.ledger

    def spends(self, seconds, part):
        self.now += seconds
        self.ledger.until_now(part)
        self.ledger.write()

    def saves(self, step):
        self.saved[step] = dict(self.ledger.seconds)

    def ends(self, step):
        self.ledger.secured(step)
        self.ledger.write()

    def trains(self, start, stop, every=10):
        for step in range(start + every, stop + 1, every):
            self.spends(every, "train")
            self.saves(step)

    def finishes(self, step):
        """As after training: waits for the last checkpoint, and evaluates."""
        self.spends(0.5, "checkpoint_stall")
        self.ends(step)
        self.spends(4.0, "evaluate")
        self.ends(step)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path / "goodput.json")


def booked(ledger, **expected):
    assert ledger.seconds == dict.fromkeys(PARTS, 0.0) | expected


def test_every_second_is_booked_once(tmp_path):
    now = [100.0]
    ledger = Goodput(tmp_path / "goodput.json", 98.0, lambda: now[0])
    ledger.until_now("setup")
    now[0] += 3
    with ledger.spending("evaluate"):
        now[0] += 4
    now[0] += 5
    ledger.until_now("train")
    ledger.move(1.5, "train", "data_wait")
    booked(ledger, setup=2, train=6.5, evaluate=4, data_wait=1.5)
    summary = ledger.summary()
    assert summary["wall_seconds"] == 14
    assert summary["goodput"] == 6.5 / 14
    assert set(summary) == {"wall_seconds", "goodput", *(f"{part}_seconds" for part in PARTS)}


def test_a_run_that_finished_loses_nothing_by_being_extended_or_evaluated_again(machine):
    machine.starts()
    machine.trains(0, 30)
    machine.finishes(30)
    booked(machine.ledger, setup=1, train=30, evaluate=4, checkpoint_stall=0.5)
    machine.starts(30)
    machine.spends(4.0, "evaluate")
    machine.ends(30)
    booked(machine.ledger, setup=2, train=30, evaluate=8, checkpoint_stall=0.5)
    machine.starts(30)
    machine.trains(30, 50)
    machine.finishes(50)
    booked(machine.ledger, setup=3, train=50, evaluate=12, checkpoint_stall=1)


def test_a_stop_that_was_saved_loses_nothing(machine):
    machine.starts()
    machine.trains(0, 20)
    machine.spends(7.0, "train")
    machine.saves(27)
    machine.spends(2.0, "checkpoint_stall")
    machine.ends(27)
    booked(machine.starts(27), setup=2, train=27, checkpoint_stall=2)


@pytest.mark.parametrize("part", REDONE)
def test_a_kill_loses_what_came_after_the_checkpoint_and_set_up_is_not_lost(machine, part):
    machine.starts()
    machine.trains(0, 20)
    machine.spends(3.0, part)
    machine.spends(2.0, "compile")
    booked(machine.starts(20), setup=2, compile=2, train=20, lost_to_restarts=3)
    # Again, before another checkpoint.
    machine.spends(5.0, part)
    booked(machine.starts(20), setup=3, compile=2, train=20, lost_to_restarts=8)


def test_what_is_killed_after_a_good_end_loses_only_its_own(machine):
    machine.starts()
    machine.trains(0, 30)
    machine.finishes(30)
    machine.starts(30)
    machine.spends(6.0, "train")
    booked(machine.starts(30), setup=3, train=30, evaluate=4, checkpoint_stall=0.5, lost_to_restarts=6)
    machine.trains(30, 40)
    machine.spends(2.0, "train")
    # The checkpoint of step 40 vouches for all before it, and if it is damaged, its steps are taken again.
    booked(machine.starts(40), setup=4, train=40, evaluate=4, checkpoint_stall=0.5, lost_to_restarts=8)
    booked(machine.starts(30), setup=4, train=30, evaluate=4, checkpoint_stall=0.5, lost_to_restarts=18)


def test_a_good_end_whose_checkpoint_is_damaged_is_none(machine):
    machine.starts()
    machine.trains(0, 30)
    machine.finishes(30)
    machine.starts(20)
    booked(machine.ledger, setup=2, train=20, lost_to_restarts=14.5)
    machine.ledger.write()
    machine.trains(20, 30)
    machine.spends(1.0, "evaluate")
    booked(machine.starts(30), setup=3, train=30, lost_to_restarts=15.5)


def test_an_evaluation_that_is_killed_is_lost_and_the_wait_before_it_is_not(machine):
    machine.starts()
    machine.trains(0, 30)
    machine.spends(0.5, "checkpoint_stall")
    machine.ends(30)
    machine.spends(3.0, "evaluate")
    booked(machine.starts(30), setup=2, train=30, checkpoint_stall=0.5, lost_to_restarts=3)


@pytest.mark.parametrize(
    "content",
    [
        *("{", "[]", "3", "null", '{"train": "long"}', '{"train": NaN}', '{"train": 1e999}', "\xff"),
        *('{"secured": 3}', '{"secured": {"step": "x", "seconds": {}}}', '{"secured": {"step": 3}}'),
    ],
)
def test_an_unreadable_ledger_costs_only_what_it_held(tmp_path, content):
    (tmp_path / "goodput.json").write_text(content, encoding="latin-1")
    ledger = Goodput(tmp_path / "goodput.json", 0.0, lambda: 0.0)
    ledger.continue_from(3, {"train": 3.0})
    booked(ledger, train=3)
    ledger.write()
    assert json.loads((tmp_path / "goodput.json").read_text())["train"] == 3.0


def test_it_is_written_at_most_so_often(tmp_path):
    now = [5.0]
    ledger = Goodput(tmp_path / "goodput.json", 5.0, lambda: now[0])
    for seconds, written in ((0.0, 0), (0.5, 0), (0.5, 1), (0.9, 1), (0.2, 2.1)):
        now[0] += seconds
        ledger.until_now("train")
        ledger.write(every=1.0)
        assert json.loads((tmp_path / "goodput.json").read_text())["train"] == pytest.approx(written)


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "3", '{"train": "long"}', '{"train": 1e999}', '{"secured": 3}', "[" * 100_000),
        '{"train": 1' + "0" * 400 + "}",
        '{"train": 7, "secured": {"step": 1e999, "seconds": {}}}',
    ],
)
def test_what_is_no_ledger_counts_for_nothing(tmp_path, content):
    (tmp_path / "goodput.json").write_text(content)
    ledger = Goodput(tmp_path / "goodput.json", 0.0, lambda: 0.0)
    ledger.continue_from(4, {"train": 2.0})
    assert ledger.seconds == {**dict.fromkeys(PARTS, 0.0), "train": 2.0}
