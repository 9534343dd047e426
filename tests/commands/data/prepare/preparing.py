"""Runs `jaxaction data prepare` and reads what came of it."""

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

from jaxaction.commands.data.prepare import command
from jaxaction.data import decode
from jaxaction.data.tfds_sources import tfds_source
from tests.data.videos import encoded


@cache
def clip(count: int, container: str = "mp4", codec: str = "libx264") -> bytes:
    """A video of `count` frames."""
    return encoded(container, codec, count=count)


def write(folder: Path, files: dict[str, Any]) -> Path:
    """Writes files below a folder: of a number the clip with so many frames, of others JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = clip(content) if isinstance(content, int) else content
        content = content if isinstance(content, str | bytes) else json.dumps(content)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def run(name: str, root: Path, out: Path, *flags: str) -> dict[str, Any]:
    """Prepares a data set and returns its report; `InputError` where the command has one."""
    assert exit_code(name, root, out, *flags) == 0
    (report,) = (out / name.split("/")[0]).glob("**/1.0.0/report.json")
    return json.loads(report.read_text())


def exit_code(name: str, root: Path, out: Path, *flags: str) -> int:
    """The command's exit code."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = ["--from", str(root), "--out", str(out), *flags]
    return command.main(parser.parse_args([name, *args]))


def contents(name: str, split: str, out: Path) -> list[tuple[str, str, int]]:
    """(id, label's name, frames) of all records, as `data.source=tfds` reads them."""
    source = tfds_source(name, split, out)
    records = [source[i] for i in range(len(source))]
    return [(r.id, source.label_names[r.label], decode.num_frames(r.video)) for r in records]
