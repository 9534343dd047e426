"""`jaxaction zoo`: the shipped configs, with their cost and published accuracy, and copies of them.

Counting all networks takes a minute, so `zoo_figures.json` keeps the counts, each under the fields
that it depends on. A network that the file lacks is counted on demand. `jaxaction zoo --write`
counts all again.
"""

import argparse
import difflib
import functools
import json
import operator
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from jaxaction.commands import flops, zoo_copy
from jaxaction.config import build, flags, shipped, stored
from jaxaction.config.recipes import Variant
from jaxaction.data import Protocol
from jaxaction.errors import InputError

FILE = Path(__file__).with_name("zoo_figures.json")

LEGEND = """\
train: segments, or frames x interval of a clip; test: segments (tsn, tsm) or clips x crops;
params in millions; GMACs of one test clip (tsn, tsm: of all its segments), with and without head.
top-1 and top-5 (in percent) and the file are those that MMAction2 published, not measured here."""
KEYS = "docs/config.md explains every key:"
COUNTED = ("params", "224", "no head", "256", "no head")
HEADINGS: tuple[str, ...] = ("name", "train", "test", *COUNTED, "top-1", "top-5", "file")
# A second line above these headings.
OVER = {
    "224": "GMACs, 224x224",
    "256": "GMACs, 256x256",
    "top-1": "published by MMAction2, not measured here",
}

# Fields of a model that change neither its parameters nor its products.
_NO_EFFECT = {"dropout", "init_std", "bn_group", "norm_eps", "zero_init_residual"}
_NO_EFFECT |= {"frozen_stages", "norm_eval", "partial_bn", "remat"}


class Figures(NamedTuple):
    """A network's number of parameters, and its MACs for one test clip of 224x224 and 256x256.

    `headless` leaves out the classifier. The clip has `config.test.clip_len` frames.
    """

    parameters: int
    macs_224: int
    headless_224: int
    macs_256: int
    headless_256: int


def network(config: ConfigDict) -> str:
    """Returns as text all that a config's figures depend on: the model's fields and the clip."""
    fields = stored.tuples(config.model.to_dict())
    name, keys = fields.pop("name"), sorted(fields.keys() - _NO_EFFECT)
    words = (f"{key}={fields[key]}" for key in keys)
    return " ".join([name, *words, f"clip={config.test.clip_len}x{len(config.data.mean)}"])


def figures(
    configs: Iterable[ConfigDict], known: Mapping[str, Figures] | None = None
) -> dict[str, Figures]:
    """Returns the figures of the configs, under their `network` texts.

    Counts each network that is not in `known` (None: not in the file), which takes one to five
    seconds, and prints a line about it to stderr.
    """
    known = kept_figures() if known is None else known
    counts: dict[str, Figures] = {}
    # Many variants share a network; a dict of them counts it once.
    for text, config in {network(config): config for config in configs}.items():
        if text not in known:
            print(f"counting {text}", file=sys.stderr, flush=True)
        counts[text] = known[text] if text in known else _count(config)
    return counts


def kept_figures() -> dict[str, Figures]:
    """Returns the figures that `jaxaction zoo --write` has stored, under their `network` texts."""
    rows = json.loads(FILE.read_text()) if FILE.is_file() else {}
    return {text: Figures(**row) for text, row in rows.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `jaxaction zoo`."""
    which = parser.add_mutually_exclusive_group()
    text = (
        "list one family (tsm), or describe one variant (tsm:r50-1x1x8-k400) with all values of its"
        " config; MMAction2's name of a config does as well (default: list all variants)"
    )
    which.add_argument("name", nargs="?", default="", metavar="NAME", help=text)
    text = "for developers, after a new variant: count all networks again (a minute) and store that"
    which.add_argument("--write", action="store_true", help=text)
    text = "write the config NAME with all its values to a new file, for you to change"
    parser.add_argument("--copy", metavar="FILE.py", help=text)


def main(args: argparse.Namespace) -> int:
    """Lists all variants, describes or copies one, or writes the file of figures; returns 0.

    InputError for an unknown name and for a copy that can't be written.
    """
    if args.copy and not args.name:
        raise InputError(
            f"--copy {args.copy}: the config's name is missing; write NAME --copy {args.copy}"
        )
    rows = shipped.variants()
    name = _nearest(args.name, rows) if args.name else ""
    family = name in shipped.FAMILIES
    if args.copy:
        zoo_copy.write(args.copy, name, rows.get(name), _config(name))
        print(f"{args.copy}: a copy of {name}")
        return 0
    if name in rows:
        print(describe(name, rows[name]))
        return 0
    listed = {key: row for key, row in rows.items() if not family or key.startswith(f"{name}:")}
    configs = {key: _config(key) for key in listed}
    if args.write:
        _write(figures(configs.values(), {}))
        return 0
    text = _fit(table(listed, configs))
    print(f"{LEGEND}\n\n{text}\n\n`jaxaction zoo NAME` prints one with all its values.")
    return 0


def table(rows: Mapping[str, Variant], configs: Mapping[str, ConfigDict]) -> str:
    """Returns a line for each variant below two lines of headings; an empty line ends a family."""
    counts = figures(configs.values())
    cells: list[tuple[str, ...]] = [HEADINGS]
    last = ""
    for name, row in rows.items():
        family = name.split(":")[0]
        cells += [] if family == last else [("",) * len(HEADINGS)]
        cells.append((name, *_cells(row, configs[name], counts[network(configs[name])])))
        last = family
    lines = flops.align_columns(cells)
    # The headings are in the first line, so that an index into the text is a column.
    over = ""
    for heading, text in OVER.items():
        over = over.ljust(lines.index(heading)) + text
    return f"{over}\n{lines}"


def describe(name: str, row: Variant) -> str:
    """Returns all about a variant: its row, its stages' shapes in a test, its config's values."""
    config = _config(name)
    counts = figures([config])[network(config)]
    test = build.protocol(config.test)
    clip = (1, test.clip_len, *test.size, len(config.data.mean))
    counted = flops.count(build.model(config), clip)
    facts = [
        ("MMAction2", row.mmaction_name or "-"),
        ("file", row.file or "-"),
        ("published", _published(row)),
        ("note", row.note or "-"),
        ("train", _train(config)),
        ("test", str(test)),
        ("at 224x224", _gmacs(counts.macs_224, counts.headless_224)),
        ("at 256x256", _gmacs(counts.macs_256, counts.headless_256)),
    ]
    stages = f"one clip of the test, {flops.shape_text(clip)}\n{flops.summary(counted)}"
    return f"{name}\n\n{flops.align_columns(facts)}\n\n{stages}\n\n{KEYS}\n{settings(config)}"


def settings(config: ConfigDict) -> str:
    """Returns a line `--config.key=value` for every value, quoted for a shell."""
    values = (
        (key, functools.reduce(operator.getitem, key.split("."), config))
        for key in flags.flatten(config)
    )
    return "\n".join(f"--config.{key}={shlex.quote(str(value))}" for key, value in values)


def _nearest(text: str, names: Mapping[str, Variant]) -> str:
    """Returns the family or variant that `text` names: by our name, a file, or MMAction2's name.

    For an unknown name InputError lists the variants that begin with it, are similar to it, or
    belong to its family.
    """
    named = [name for name, row in names.items() if row.mmaction_name == Path(text).stem]
    if named:
        return named[0]
    file, variant = flags.split_variant(text)
    # In a clone a shell completes configs/tsm.py, which is the config `tsm`.
    if Path(file).parent.name == shipped.folder().name:
        file = Path(file).stem
    name = f"{file}:{variant}" if variant else file
    if name in names or name in shipped.FAMILIES:
        return name
    begin, family = (
        [known for known in names if known.startswith(start)]
        for start in (name, name.partition(":")[0] + ":")
    )
    known = names if ":" in name else shipped.FAMILIES
    near = begin or difflib.get_close_matches(name, known, n=3, cutoff=0.5) or family
    there = f"there is {', '.join(near)}" if near else "`jaxaction zoo` lists them all"
    raise InputError(f"{text}: no such variant; {there}")


def _config(name: str) -> ConfigDict:
    return flags.load_config(*flags.split_variant(name))


def _count(config: ConfigDict) -> Figures:
    model = build.model(config)
    frames, channels = config.test.clip_len, len(config.data.mean)
    small, large = (flops.count(model, (1, frames, size, size, channels)) for size in (224, 256))
    macs = (small.macs, small.macs_without_head, large.macs, large.macs_without_head)
    return Figures(small.parameters, *macs)


def _write(counts: Mapping[str, Figures]) -> None:
    rows = {text: row._asdict() for text, row in counts.items()}
    FILE.write_text(json.dumps(rows, indent=1) + "\n")


def _cells(row: Variant, config: ConfigDict, counts: Figures) -> tuple[str, ...]:
    """Returns the columns after the name, numbers aligned."""
    # `align_columns` aligns to the left, so numbers get a fixed width here.
    macs = tuple(f"{value / 1e9:6.2f}" for value in counts[1:])
    test = _views(build.protocol(config.test))
    params = f"{counts.parameters / 1e6:6.2f}"
    tops = tuple(f"{top:5.2f}" if top else "    -" for top in _tops(row))
    return (_train(config), test, params, *macs, *tops, row.file or "-")


def _train(config: ConfigDict) -> str:
    data = config.data
    if data.sampling == "segments":
        return f"{data.clip_len} segments"
    dense = "dense " if data.sampling == "dense" else ""
    return f"{dense}{data.clip_len}x{data.frame_interval}"


def _views(protocol: Protocol) -> str:
    """Returns the test's views: clips x crops (dense 10x3), or segments x crops (twice 8x3)."""
    crops = protocol.shape[0] // protocol.num_clips
    if protocol.sampling == "segments":
        return f"{'twice ' if protocol.num_clips == 2 else ''}{protocol.clip_len}x{crops}"
    return f"{'dense ' if protocol.sampling == 'dense' else ''}{protocol.num_clips}x{crops}"


def _tops(row: Variant) -> tuple[float, float]:
    """Returns MMAction2's top-1 and top-5 in percent; 0 for a network that isn't MMAction2's."""
    return (row.top1, row.top5) if row.mmaction_name else (0.0, 0.0)


def _published(row: Variant) -> str:
    top1, top5 = _tops(row)
    if not top1:
        return "-"
    return f"top-1 {top1:.2f} %, top-5 {top5:.2f} % (by MMAction2, not measured here)"


def _gmacs(macs: int, headless: int) -> str:
    return f"{macs / 1e9:.2f} GMACs with head, {headless / 1e9:.2f} without"


def _fit(text: str) -> str:
    """Cuts lines at a terminal's width and marks the cut by …; a pipe or a file gets them whole."""
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = text.splitlines()
    return "\n".join(x if len(x) <= width else f"{x[: width - 1]}…" for x in lines)
