"""A sheet of just those pictures that a network gets to see: `jaxaction data show`."""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ml_collections import ConfigDict

from jaxaction import data
from jaxaction.commands.data import show_sheet
from jaxaction.commands.data.show_sheet import Row
from jaxaction.config import build, flags
from jaxaction.data.protocol import CHANNELS
from jaxaction.errors import InputError
from jaxaction.files import write_atomically
from jaxaction.storage import workdir
from jaxaction.training import setup


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `jaxaction data show`, without the config's keys."""
    config = parser.add_mutually_exclusive_group(required=True)
    config.add_argument("--config", metavar="FILE[:VARIANT]")
    config.add_argument("--workdir", help="the directory of a training run, in place of --config")
    parser.add_argument("--out", required=True, metavar="FILE.png")
    help_text = "as training draws its clips, or the views of the test (train)"
    parser.add_argument("--split", choices=("train", "test"), default="train", help=help_text)
    parser.add_argument("--videos", type=int, default=6, help="how many (6)")
    parser.add_argument("--force", action="store_true", help="replace FILE.png if it exists")


def main(args: argparse.Namespace) -> int:
    """Draws the first videos of an epoch, or of the test, and says what is on the sheet."""
    if args.videos < 1:
        raise InputError(f"--videos {args.videos}: give 1 or more")
    out = _check_out(Path(args.out), args.force)
    config = flags.apply_overrides(_config(args), args.overrides)
    source, where = build.open_source(config, args.split, num_classes=0)
    if not len(source):
        raise InputError(f"{where} has no videos")
    how, rows = (_train_clips if args.split == "train" else _test_views)(config, source)
    videos = min(args.videos, len(source))
    rows = itertools.chain.from_iterable(itertools.islice(rows, videos))
    sheet = show_sheet.draw(f"{where}: {how}", rows)
    picture = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes()
    write_atomically(out, lambda file: file.write(picture))
    print(f"{out}: {videos} of {len(source)} videos, {how}")
    return 0


def _check_out(out: Path, force: bool) -> Path:
    if out.suffix.lower() != ".png":
        raise InputError(f"--out {out}: the sheet is a PNG; name it {out}.png")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: its folder does not exist; make it, or name another")
    if out.exists() and not (force and out.is_file()):
        raise InputError(f"--out {out}: it exists; name another file, or replace it with --force")
    return out


def _config(args: argparse.Namespace) -> ConfigDict:
    if args.config:
        return flags.load_config(*flags.split_variant(args.config))
    why = "no such file"
    try:
        config = workdir.read_config(args.workdir)
        if config is not None:
            return config
    except (OSError, ValueError) as error:
        why = str(error)
    raise InputError(
        f"--workdir {args.workdir}: {workdir.NAME} can't be read there ({why}); give --config"
    )


def _train_clips(config: ConfigDict, source: Any) -> tuple[str, Iterator[list[Row]]]:
    """How training makes clips, and its clips, endlessly; one a video."""
    transform = setup.train_transform(config)
    batches = data.train_loader(source, transform, 1, config.train.seed, num_threads=0)
    channels = CHANNELS[transform.modality]

    def rows() -> Iterator[list[Row]]:
        for batch in batches:
            note = ""
            if batch["bad"][0] >= 0:
                note = f", in place of {source.id(int(batch['bad'][0]))}, which can't be read"
            yield [Row(_title(source, batch) + note, batch["clip"][0], channels)]

    how = f"{transform.sampling}, {config.data.clip_len} frames, crop {transform.crop}"
    return f"{how} of {transform.size[0]}x{transform.size[1]}", rows()


def _test_views(config: ConfigDict, source: Any) -> tuple[str, Iterator[list[Row]]]:
    """The protocol of the test, and the views of its videos, a row each."""
    protocol = build.protocol(config.test)
    batches = data.test_loader(source, protocol, 1, num_threads=0)
    channels = CHANNELS[protocol.modality]

    def rows() -> Iterator[list[Row]]:
        for batch in batches:
            views = batch["views"][0]
            if batch["bad"][0] >= 0:
                title = f"{source.id(int(batch['bad'][0]))} can't be read"
                yield [Row(title, views[0, :1], channels)]
                continue
            title = f"{_title(source, batch)}, view"
            count = len(views)
            yield [Row(f"{title} {i} of {count}", v, channels) for i, v in enumerate(views, 1)]

    return str(protocol), rows()


def _title(source: Any, batch: dict[str, np.ndarray]) -> str:
    """`archery/a.mp4  3 archery`; of a multi-label video all its labels."""
    label = batch["label"][0]
    labels = [int(label)] if label.ndim == 0 else np.flatnonzero(label).tolist()
    texts = [_label_text(i, source.label_names) for i in labels]
    return f"{source.id(int(batch['index'][0]))}  {', '.join(texts)}"


def _label_text(label: int, names: tuple[str, ...]) -> str:
    name = names[label] if label < len(names) else str(label)
    return name if name == str(label) else f"{label} {name}"
