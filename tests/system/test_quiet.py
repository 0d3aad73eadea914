import logging
import sys
import threading
import types

import pytest

from jaxvae.system.third_party_output import quiet, tracebacks


def unraisable(message):
    return types.SimpleNamespace(
        exc_value=RuntimeError(message), exc_type=RuntimeError, exc_traceback=None, err_msg=None, object=None
    )


@pytest.fixture
def shown(monkeypatch):
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: heard.append(str(one.exc_value)))
    return heard


def test_only_a_closed_event_loop_is_kept_back_and_a_logger_has_it(shown, caplog):
    caplog.set_level(logging.DEBUG, "jaxvae.system.third_party_output")
    with quiet():
        sys.unraisablehook(unraisable("Event loop is closed"))  # type: ignore[arg-type]
        sys.unraisablehook(unraisable("Event loop is closed, said another"))  # type: ignore[arg-type]
    assert shown == ["Event loop is closed, said another"]
    assert [str(record.exc_info[1]) for record in caplog.records] == ["Event loop is closed"]  # type: ignore[index]
    sys.unraisablehook(unraisable("Event loop is closed"))  # type: ignore[arg-type]
    assert shown[1:] == ["Event loop is closed"]


def test_however_many_ask_all_is_as_before_after_the_last():
    before, level = sys.unraisablehook, logging.getLogger("absl").level
    barrier = threading.Barrier(8)

    def ask():
        for _ in range(200):
            barrier.wait(60)
            with quiet():
                assert logging.getLogger("absl").level == logging.CRITICAL
                assert sys.unraisablehook is not before

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sys.unraisablehook, logging.getLogger("absl").level) == (before, level)


def test_an_error_inside_leaves_all_as_before(shown):
    before, level = sys.unraisablehook, logging.getLogger("absl").level
    with pytest.raises(ZeroDivisionError), quiet():
        raise ZeroDivisionError
    assert (sys.unraisablehook, logging.getLogger("absl").level) == (before, level)


def test_a_hook_that_another_put_on_top_stays(shown):
    tracebacks.keep_back()
    ours = sys.unraisablehook

    def theirs(one):
        ours(one)

    sys.unraisablehook = theirs
    tracebacks.show_again()
    assert sys.unraisablehook is theirs
    # Through which nothing is kept back any more.
    sys.unraisablehook(unraisable("Event loop is closed"))  # type: ignore[arg-type]
    assert shown == ["Event loop is closed"]
