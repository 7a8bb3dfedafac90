"""What a training run writes down about itself: its configuration, its log and TensorBoard files."""

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from portrait3d.errors import WeightsError

logger = logging.getLogger(__name__)


class RunRecord:
    """config.json and log.jsonl of a run's directory.

    Args:
        out: The directory, made if missing.
        settings: The stage's whole configuration; a run that was started with another one (the loop's part
            apart) is not continued: ValueError.
        loop: The loop's configuration.
        tensorboard: Write TensorBoard files too.
    """

    def __init__(self, out: Path, settings: Any, loop: Any, *, tensorboard: bool = False) -> None:
        self.out, self.tensorboard, self._board = out, tensorboard, None
        out.mkdir(parents=True, exist_ok=True)
        self._check_settings(settings, loop)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Add a line to the log; `entry` has a "step", and "losses" or an "evaluation"."""
        text = json.dumps(entry)
        with (self.out / "log.jsonl").open("a") as file:
            file.write(text + "\n")
        logger.info("%s", text)
        if self.tensorboard:
            if self._board is None:
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(str(self.out), purge_step=entry["step"])
            for group in ("losses", "evaluation"):
                for name, value in entry.get(group, {}).items():
                    self._board.add_scalar(f"{group}/{name}", value, entry["step"])

    def forget_after(self, step: int) -> None:
        """Drop what was logged after the step that a run goes on from."""
        path = self.out / "log.jsonl"
        if path.is_file():
            lines = [line for line in path.read_text().splitlines() if json.loads(line)["step"] <= step]
            path.write_text("".join(line + "\n" for line in lines))

    def _check_settings(self, settings: Any, loop: Any) -> None:
        # As the file gives it back: tuples become lists.
        wanted = json.loads(json.dumps(plain(settings)))
        path = self.out / "config.json"
        # Without a checkpoint nothing is continued, and other settings do no harm.
        if isinstance(wanted, dict) and (self.out / "checkpoint.pt").is_file() and path.is_file():
            known = read_record(path)["settings"]
            changed = [key for key in wanted if key != "loop" and known.get(key) != wanted[key]]
            if changed:
                names = ", ".join(changed)
                raise ValueError(f"{path.parent} was started with another {names}; choose another --out.")
        record = {
            "settings": wanted,
            "loop": plain(loop),
            "commit": current_commit(),
            "torch": torch.__version__,
            "command": sys.argv,
        }
        path.write_text(json.dumps(record, indent=1) + "\n")


def read_record(path: Path) -> dict[str, Any]:
    """A run's config.json, with tables "settings" and "loop"; `WeightsError` if it is another file."""
    try:
        record = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is no JSON file: {error}") from None
    for name in ("settings", "loop"):
        if not isinstance(record, dict) or not isinstance(record.get(name), dict):
            raise WeightsError(f"{path} is no record of a training run: it has no table {name}.")
    return record


def current_commit() -> str | None:
    """The commit of the source tree that this runs from, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def plain(value: Any) -> Any:
    """Dataclasses and paths as JSON can hold them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value
