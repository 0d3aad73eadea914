import json

from jaxvae.metrics import MetricsFile, write_json


def line(step, split="train", **more):
    return {"step": step, "split": split, **more}


def read(path):
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_continuing_drops_what_later_steps_and_a_kill_left(tmp_path):
    path = tmp_path / "metrics.jsonl"
    whole = [line(10, seconds=1.5), line(20, seconds=3.0), line(20, "test"), line(30, seconds=4.0)]
    path.write_text("".join(json.dumps(one) + "\n" for one in whole) + '{"step": 40, "spl')
    metrics = MetricsFile(path, 20)
    assert read(path) == whole[:3]
    assert metrics.seconds == 3.0
    metrics.append(line(30, seconds=9.0))
    metrics.close()
    assert read(path) == [*whole[:3], line(30, seconds=9.0)]
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_of_the_same_step_and_split_is_replaced(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl", 0)
    for one in (line(10), line(10, "test", nll=2.0), line(10, "test", nll=1.0)):
        metrics.append(one)
    metrics.close()
    assert read(tmp_path / "metrics.jsonl") == [line(10), line(10, "test", nll=1.0)]


def test_json_files_are_replaced_whole(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    write_json(tmp_path / "a.json", {"x": 2})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": 2}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_a_number_that_is_not_finite_is_null(tmp_path):
    content = {"loss": float("nan"), "rate": float("inf"), "inner": {"x": float("-inf")}, "steps": 3}
    write_json(tmp_path / "a.json", content)
    # What JSON does not know, Python would read back all the same.
    text = (tmp_path / "a.json").read_text()
    assert not any(word in text for word in ("NaN", "Infinity"))
    assert json.loads(text) == {"loss": None, "rate": None, "inner": {"x": None}, "steps": 3}
