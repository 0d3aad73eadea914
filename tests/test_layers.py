"""Folders are layers: imports go from a later folder to an earlier one, and each knows only so much."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "jaxvae"
FLOORS = (
    "errors",
    "system",
    "config",
    "models",
    "training",
    "data",
    "runs",
    "analysis",
    "profiling",
    "commands",
)
"""In the order in which they may import: each from itself and those before it."""
DOORS = ("__init__", "__main__")
"""Beside the folders: they may import anything."""
STANDARD = {
    *("collections", "contextlib", "dataclasses", "difflib", "enum", "errno", "functools", "hashlib"),
    *("importlib", "io", "itertools", "json", "logging", "math", "numbers", "os", "pathlib", "re", "shutil"),
    *("signal", "socket", "sys", "tempfile", "threading", "time", "traceback", "types", "typing"),
    *(
        "warnings",
        "zlib",
        "concurrent",
        "builtins",
        "atexit",
        "ast",
        "linecache",
        "select",
        "platform",
        "uuid",
        "runpy",
        "inspect",
    ),
}
ARRAYS = {"equinox", "jax", "jaxtyping", "numpy"}
KNOWS = {
    # What a folder may import from outside the project.
    "errors": STANDARD,
    "system": STANDARD | {"fcntl", "platform", "select"},
    "config": STANDARD,
    "models": ARRAYS | {"abc", "collections", "functools", "itertools", "math", "types", "typing"},
    "training": ARRAYS | {"jaxlib", "optax"} | STANDARD,
}


def modules() -> dict[str, Path]:
    """Every file of the package, by its dotted name below it; a folder's own is the folder's."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def floor(module: str) -> str:
    return module.split(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            assert node.module
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            known = {f"jaxvae.{name}" for name in modules()}
            yield from (name if name in known else node.module for name in inside)


def ours(path: Path) -> set[str]:
    """What a file imports from the project, by dotted name below the package."""
    return {name.removeprefix("jaxvae.") for name in imports(path) if name.startswith("jaxvae.")}


def test_every_module_is_in_a_folder_and_every_folder_says_what_it_answers():
    floors = {floor(name) for name in modules()}
    assert floors == {*FLOORS, *DOORS}
    for name, path in modules().items():
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert text, f"{name} does not say what it answers"
        if path.name != "__init__.py" or name == "__init__":
            continue
        files = {other.stem for other in path.parent.glob("*.py")} - {"__init__"}
        unnamed = {file for file in files if f"``{file}``" not in text}
        assert not unnamed, f"{name}/__init__.py does not say which question {unnamed} answers"


def test_imports_go_to_the_same_or_an_earlier_folder():
    seen = 0
    for module, path in modules().items():
        for name in ours(path):
            seen += 1
            if floor(module) not in DOORS:
                assert FLOORS.index(floor(name)) <= FLOORS.index(floor(module)), f"{module} imports {name}"
    assert seen > 200  # the test reads what it should


def test_there_are_no_import_circles():
    graph = {module: ours(path) - {module} for module, path in modules().items()}
    while graph:
        leaves = {module for module, uses in graph.items() if not uses & graph.keys()}
        assert leaves, f"circle among {sorted(graph)}"
        graph = {module: uses for module, uses in graph.items() if module not in leaves}


def test_lower_folders_know_nothing_of_the_world():
    for module, path in modules().items():
        if (known := KNOWS.get(floor(module))) is not None:
            outside = {name.split(".")[0] for name in imports(path)} - {"jaxvae"}
            assert outside <= known, f"{module}: {outside - known}"


def test_only_parallel_says_pmap():
    sayers = {module for module, path in modules().items() if "pmap(" in path.read_text()}
    assert sayers == {"training.parallel"}


def test_files_and_folders_stay_small():
    lengths = {module: len(path.read_text().splitlines()) for module, path in modules().items()}
    assert max(lengths.values()) <= 300, lengths
    for folder in {path.parent for path in modules().values()}:
        assert len(list(folder.glob("*.py"))) <= 15, folder
    # Little enough to read in an afternoon. Whoever needs more says here what for: integrity, signals,
    # several processes and replay took it from 2,000; convolutions, compiling and profiles, from 3,500; every
    # source of images, and their streaming, from 4,600; mistakes that are answered, and every
    # kind of image file and array, from 6,200; the seams for a user's own model, and runs as Python objects,
    # from 9,300; configuration by kinds, from 10,500; objectives of many draws, posteriors, priors,
    # likelihoods and networks, from 11,500; what is to be known of a trained model, from 14,500; a deep
    # model, its convolutions and its pictures, from 17,000.
    assert sum(lengths.values()) <= 18_300, lengths
