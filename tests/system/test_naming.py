"""What sets are called, and what they are then for."""

import pytest

from jaxvae.data.sources.splits import choose, rank
from jaxvae.errors import UserError

TRAIN = """train Training TRAIN x_train X_train train_x xtrain train_images train-images images_train
train2017 trainset train_set"""
TESTS = "test Testing t10k x_test X_TEST test_images t10k-images test-images"
LATER = "val valid validation Validation x_val val_images val2017"
NEITHER = "trainer contest data x images latest test_labels train-labels y_train evaluate_me cats t10 mytrain"


@pytest.mark.parametrize("name", TRAIN.split())
def test_names_of_training_images(name):
    assert rank(name) == 0


def test_names_of_test_images_and_which_are_rather_meant():
    ranks = [{rank(name) for name in names.split()} for names in (TESTS, LATER, "eval evaluation x_eval")]
    assert ranks == [{1}, {2}, {3}]


@pytest.mark.parametrize("name", NEITHER.split())
def test_names_of_neither(name):
    assert rank(name) is None


def test_who_does_what():
    assert choose(["val", "a", "test", "train"], "d") == ("train", "test", ("a", "val"), ("val",))
    assert choose(["val", "Training"], "d") == ("Training", "val", (), ())
    assert choose(["train", "train2017", "test2015", "test"], "d") == (
        *("train", "test"),
        ("test2015", "train2017"),
        (),
    )
    assert choose(["b", "a"], "d") == (None, None, ("a", "b"), ())


@pytest.mark.parametrize(
    "names", [("train", "Train"), ("train", "x_train"), ("train", "test", "Testing"), ("train1", "train2")]
)
def test_two_that_could_be_meant_for_the_same(names):
    with pytest.raises(UserError, match=r"^d holds .* and .*, each of which could be the t"):
        choose(names, "d")
