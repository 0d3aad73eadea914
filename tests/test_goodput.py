import json
import time

import pytest

from jaxvae.goodput import PARTS, Goodput


def test_every_second_is_booked_once(tmp_path):
    started = time.perf_counter()
    ledger = Goodput(tmp_path / "goodput.json", started)
    time.sleep(0.02)
    ledger.until_now("setup")
    time.sleep(0.03)
    with ledger.spending("evaluate"):
        time.sleep(0.04)
    ledger.until_now("train")
    booked, elapsed = sum(ledger.seconds.values()), time.perf_counter() - started
    assert elapsed - 0.01 < booked <= elapsed
    for part, least in (("setup", 0.02), ("train", 0.03), ("evaluate", 0.04)):
        assert least <= ledger.seconds[part] < least + 0.02
    summary = ledger.summary()
    assert summary["wall_seconds"] == pytest.approx(booked)
    assert set(summary) == {"wall_seconds", "goodput", *(f"{part}_seconds" for part in PARTS)}


def test_what_was_done_after_the_checkpoint_is_lost_and_set_up_is_not(tmp_path):
    last: dict[str, float] = dict(zip(PARTS, (5.0, 2.0, 30.0, 6.0, 4.0, 1.0, 7.0), strict=True))
    saved: dict[str, float] = dict(zip(PARTS, (5.0, 2.0, 20.0, 2.0, 3.0, 1.0, 7.0), strict=True))
    (tmp_path / "goodput.json").write_text(json.dumps(last))
    ledger = Goodput(tmp_path / "goodput.json", time.perf_counter())
    ledger.continue_from(saved)
    assert ledger.seconds == dict(zip(PARTS, (5.0, 2.0, 20.0, 2.0, 3.0, 1.0, 22.0), strict=True))
    assert sum(ledger.seconds.values()) == sum(last.values())


def test_an_unreadable_ledger_costs_only_what_it_held(tmp_path):
    (tmp_path / "goodput.json").write_text("{")
    ledger = Goodput(tmp_path / "goodput.json", time.perf_counter())
    ledger.continue_from({"train": 3.0})
    assert ledger.seconds["train"] == 3.0
    ledger.write()
    assert json.loads((tmp_path / "goodput.json").read_text())["train"] == 3.0
