"""What is in a run's folder, and may this command continue it?"""

import json
import os
import re
from collections.abc import Set
from pathlib import Path

from jaxvae.config import Config
from jaxvae.config.experiment_file import changed_code, define_kinds
from jaxvae.config.nested import differences, to_dict, unknown_kinds_file
from jaxvae.config.resumption import CHOOSES_THE_BEST, MAY_DIFFER, WHICH_PIXELS
from jaxvae.config.validation import Origin, validate
from jaxvae.errors import UserError
from jaxvae.system.atomic_files import write_json
from jaxvae.system.lock import Lock, is_lock
from jaxvae.system.paths import meant_path

_PARTIAL = re.compile(
    r"((config|summary|goodput)\.json|metrics\.jsonl|images/(samples|reconstructions)-\d+\.png)\.partial"
)
"""Half-written files that a killed process leaves. Any other ``.partial`` is not ours and is not removed."""


_SECTIONS = [name for name, value in to_dict(Config()).items() if isinstance(value, dict)]


def _may_be_there(path: Path) -> bool:
    """Whether a folder that contains this path may become a run's folder."""
    if path.name == "lock":
        return is_lock(path)
    # A new file system contains ``lost+found``.
    return path.name.startswith(".") or path.name in ("config.json.partial", "profile", "lost+found")


class Workdir:
    """The paths of a run, ``DIR/...``."""

    def __init__(self, given: str | os.PathLike):
        """Raises UserError if ``given`` is not a path, or one that Orbax cannot write to."""
        self.path = path = meant_path(given, "--workdir")
        try:
            str(path.absolute()).encode()
        except FileNotFoundError as error:
            raise UserError(f"--workdir {path}: the current folder is gone: go to another one") from error
        except UnicodeEncodeError as error:
            raise UserError(
                f"--workdir {path}: its path is not UTF-8, which Orbax, the library of checkpoints, needs: "
                "choose another folder, or a locale whose encoding is UTF-8"
            ) from error
        self.config = path / "config.json"
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"
        self.images = path / "images"
        self.summary = path / "summary.json"
        self.goodput = path / "goodput.json"
        self.lock = path / "lock"
        self.profile = path / "profile"

    def previous(self) -> Config | None:
        """The configuration of the run in this folder, or None; raises UserError if it cannot be read.

        Fields that have no effect, which earlier versions accepted, get their defaults.
        """
        try:
            # utf-8-sig: editors on Windows write a byte-order mark at the start of a file.
            text = self.config.read_text(encoding="utf-8-sig")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UserError(f"{self.config} cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise self._strange(str(error)) from error
        try:
            nested = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._strange(f"it is no JSON: {error}") from error
        if not isinstance(nested, dict):
            raise self._strange("it is no object of sections and fields")
        try:
            if (file := unknown_kinds_file(nested)) is not None:
                define_kinds(file)
            config = validate(nested, Origin(str(self.config), old=True))
        except UserError as error:
            raise self._strange(str(error)) from error
        if not nested.keys() & set(_SECTIONS):
            raise self._strange(f"it has none of the sections {', '.join(_SECTIONS)}")
        return config

    def _strange(self, reason: str) -> UserError:
        return UserError(
            f"{self.config} is not a configuration of this version:\n{reason}\n"
            "Choose another --workdir, or remove that folder."
        )

    def check(self, config: Config) -> dict[str, tuple]:
        """The differences from the configuration of the run in this folder that do not change training.

        Raises UserError that names every other difference.
        """
        self._refuse_place()
        previous = self.previous()
        if previous is None:
            self._refuse_others_files()
            return {}
        for path in (self.metrics, self.summary, self.goodput, self.lock):
            if path.is_dir():
                raise UserError(f"{path} is a folder, where a run has a file: move it away")
        for path in (self.images, self.checkpoints):
            if path.exists() and not path.is_dir():
                raise UserError(f"{path} is a file, where a run has a folder: move it away")
        changed = differences(previous, config)
        before, now = changed.get("code.sha256", (None, None))
        if before is not None and now is not None:
            if not config.code.accept_changed:
                raise UserError(changed_code(str(config.code.file), before, now))
            del changed["code.sha256"]
        chosen = CHOOSES_THE_BEST if config.data.validation is not None else set()
        refused = _changes(changed, changed.keys() - MAY_DIFFER | changed.keys() & chosen)
        if refused:
            raise UserError(
                f"{self.path} holds a run with another configuration:"
                + "".join(refused)
                + "\nRepeat its values to continue it, or choose another --workdir for a new run."
            )
        return changed

    def _refuse_place(self) -> None:
        """Raises UserError if the path is not a folder and no folder can be created there."""
        whole = self.path.absolute()
        there = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
        if not there.is_dir():
            shown = self.path if there == whole else there
            what = "link to nothing" if there.is_symlink() and not there.exists() else "file"
            inside = "" if there == whole else f"{self.path} cannot be written: "
            raise UserError(f"--workdir {inside}{shown} is a {what}: name a folder")
        if there != whole and not os.access(there, os.W_OK | os.X_OK):
            raise UserError(f"--workdir {self.path} cannot be written: nothing can be made in {there}")

    def check_replay(self, config: Config, step: int) -> None:
        """Raises UserError unless the folder holds a run of this configuration that has this step."""
        self.check(config)
        if self.previous() is None:
            raise UserError(f"{self.path} holds no run to replay a step of")
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < config.train.steps:
            raise UserError(f"--replay {step} is not a step of this run: use 0 to {config.train.steps - 1}")

    def _refuse_others_files(self) -> None:
        """Raises UserError if the folder holds anything that is not part of a run about to start."""
        if not self.path.is_dir():
            return
        try:
            others = sorted(ascii(path.name)[1:-1] for path in self.path.iterdir() if not _may_be_there(path))
        except OSError as error:
            raise UserError(f"--workdir {self.path} cannot be read ({error.strerror})") from error
        if others:
            listed = ", ".join(others[:3]) + f" and {len(others) - 3} more" * (len(others) > 3)
            raise UserError(
                f"--workdir {self.path} holds no run, but files of something else ({listed}): name a new "
                "folder, or an empty one"
            )

    def check_images(self, config: Config, digest: str, recorded: str | None) -> None:
        """Raises UserError unless the images have the digest that a checkpoint of the run ``recorded``.

        Without a checkpoint the images cannot be compared, so the fields that choose them must be unchanged.
        """
        if recorded == digest:
            return
        previous = self.previous()
        changed = differences(previous, config) if previous is not None else {}
        fields = "".join(_changes(changed, WHICH_PIXELS))
        if recorded is not None:
            raise UserError(
                f"the images of {config.data.name} are not those that the run in {self.path} is trained on: "
                f"their SHA-256 is {digest}, and was {recorded}{fields}"
            )
        if fields:
            raise UserError(
                f"the run in {self.path} has no checkpoint yet that knows its images, and those of "
                f"{config.data.name} may be others: repeat its values{fields}"
            )

    def claim(self) -> Lock:
        """Creates the folder and locks it against other processes until the lock is released.

        Raises UserError if another process holds the lock, or if the folder cannot be created or written.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            return Lock(self.lock)
        except OSError as error:
            for folder in made:
                if folder.is_dir() and not any(folder.iterdir()):
                    folder.rmdir()
            raise self._unwritable(error) from error

    def prepare(self, config: Config) -> None:
        """Writes the resolved configuration, and removes half-written files of killed processes."""
        try:
            # config.json first: it marks the folder as a run's, so that a kill here leaves a folder that the
            # next start accepts.
            write_json(self.config, to_dict(config))
            for folder in (self.images, self.checkpoints):
                folder.mkdir(exist_ok=True)
            for path in (*self.path.glob("*.partial"), *self.images.glob("*.partial")):
                if _PARTIAL.fullmatch(path.relative_to(self.path).as_posix()):
                    path.unlink()
        except OSError as error:
            raise self._unwritable(error) from error

    def prepare_profile(self) -> None:
        """Creates the folder for traces. A folder with nothing else in it is not yet a run."""
        try:
            self.profile.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> UserError:
        return UserError(
            f"--workdir {self.path} cannot be written ({error.strerror}): choose another folder, or make "
            "room in this one"
        )


def _changes(changed: dict[str, tuple], names: Set[str]) -> list[str]:
    """A line for each of the changed fields that is among the names."""
    return [
        f"\n  {name}: {before} there, {now} here" for name, (before, now) in changed.items() if name in names
    ]
