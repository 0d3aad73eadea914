"""Imports run one way, from a later layer to an earlier one, and every module has a layer."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxvae"
LAYERS = (
    ("configuration", {"config", "conversion", "errors", "paths", "validation"}),
    (
        "mathematics",
        {
            *("adopted", "arguments", "distributions", "noise", "preprocessing"),
            *("convolution", "networks", "vae", "objectives"),
        },
    ),
    (
        "training",
        {
            "keys",
            "order",
            "optimizer",
            "state",
            "step",
            "parallel",
            "hosts",
            "launch",
            "call",
            "diagnosis",
            "breakdown",
        },
    ),
    (
        "the world",
        {
            *("data", "source", "files", "folders", "arrays", "naming", "idx", "tfds", "tfrecord"),
            *("decoding", "adjusting", "kept", "packing", "pixels"),
            *("streaming", "placement", "manifest", "checkpoint", "metrics", "images", "workdir"),
            *("lock", "signals", "goodput", "cache", "compiler", "system", "console", "quiet"),
            *("room", "advice"),
        },
    ),
    (
        "the run",
        {
            *("evaluate", "report", "replay", "loop", "fit", "cli", "untrained", "trained", "__init__"),
            *("look", "__main__", "experiment"),
            *("profile", "timeline", "program"),
        },
    ),
)
KNOWS = {
    # What a layer may import from outside the project.
    "configuration": {
        *("collections", "dataclasses", "difflib", "math", "numbers", "os", "pathlib", "types", "typing"),
    },
    "mathematics": {"equinox", "jax", "jaxtyping", "numpy", "itertools", "math", "typing", "collections"},
    "training": {
        *("equinox", "jax", "jaxtyping", "optax", "numpy"),
        *("collections", "contextlib", "enum", "functools", "math", "time", "typing"),
    },
}


def modules():
    return {path.stem: path for path in PACKAGE.glob("*.py")}


def imports(path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            assert node.module
            names = [f"jaxvae.{alias.name}" for alias in node.names]
            yield from names if node.module == "jaxvae" else [node.module]


def level(module):
    return next(i for i, (_, names) in enumerate(LAYERS) if module in names)


def test_every_module_has_a_layer():
    assert set(modules()) <= {name for _, names in LAYERS for name in names}


def test_imports_go_to_the_same_or_an_earlier_layer():
    seen = 0
    for module, path in modules().items():
        for name in imports(path):
            if name.startswith("jaxvae."):
                seen += 1
                assert level(name.split(".")[1]) <= level(module), f"{module} imports {name}"
    assert seen > 40  # the test reads what it should


def test_there_are_no_import_circles():
    graph = {
        module: {name.split(".")[1] for name in imports(path) if name.startswith("jaxvae.")}
        for module, path in modules().items()
    }
    while graph:
        leaves = {module for module, uses in graph.items() if not uses & graph.keys()}
        assert leaves, f"circle among {sorted(graph)}"
        graph = {module: uses for module, uses in graph.items() if module not in leaves}


def test_lower_layers_know_nothing_of_the_world():
    for layer, names in LAYERS[:3]:
        for module in names:
            outside = {name.split(".")[0] for name in imports(modules()[module])} - {"jaxvae"}
            assert outside <= KNOWS[layer], f"{module}: {outside - KNOWS[layer]}"


def test_only_parallel_says_pmap():
    sayers = {module for module, path in modules().items() if "pmap(" in path.read_text()}
    assert sayers == {"parallel"}


def test_modules_stay_small():
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert max(lengths.values()) <= 300, lengths
    # Little enough to read in an afternoon. Whoever needs more says here what for: integrity, signals,
    # several processes and replay took it from 2,000; convolutions, compiling and profiles, from 3,500; every
    # source of images, and their streaming, from 4,600; mistakes that are answered, and every
    # kind of image file and array, from 6,200.
    assert sum(lengths.values()) <= 9300, lengths
