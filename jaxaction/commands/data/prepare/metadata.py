"""What makes shards a TFDS data set: its features, its metadata, and our report beside them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer, naming

from jaxaction.commands.data.prepare.listing import Listed, Listing
from jaxaction.commands.data.prepare.shards import Shard, Workspace, Written, write_json
from jaxaction.evaluation import results

VERSION = "1.0.0"
FORMAT = "array_record"


def features(listing: Listing) -> tfds.features.FeaturesDict:
    """`id`, `video` (a file's bytes), and `label`, or `labels` where there may be several."""
    label = tfds.features.ClassLabel(names=list(listing.label_names))
    several = {"labels": tfds.features.Sequence(label)}
    return tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "video": tfds.features.Tensor(shape=(), dtype=np.bytes_),
            **(several if listing.multi_label else {"label": label}),
        }
    )


def serializer(listing: Listing) -> Callable[[Listed, bytes], bytes]:
    """Returns the function that makes a record of a video and its bytes."""
    kinds = features(listing)
    to_bytes = example_serializer.ExampleSerializer(kinds.get_serialized_info())

    def serialize(video: Listed, data: bytes) -> bytes:
        label = video.label
        labels = {"labels": list(label)} if listing.multi_label else {"label": label}
        example = {"id": video.id, "video": data, **labels}
        return to_bytes.serialize_example(kinds.encode_example(example))

    return serialize


def finish(work: Workspace, listing: Listing, shards: list[Shard], about: dict[str, Any]) -> dict:
    """Names the finished shards as TFDS does, writes metadata and report, and returns the report.

    A split of which nothing could be stored is left out.
    """
    infos, splits, notes = [], {}, list(listing.notes)
    skipped = [
        {"split": split, "id": video.id, "reason": "there is no such file"}
        for split, video in listing.missing
    ]
    for split in listing.splits:
        parts = [(shard, work.written(shard)) for shard in shards if shard.split == split]
        kept = [(shard, part) for shard, part in parts if part.records]
        total = Written()
        for _, part in parts:
            total.merge(part)
        if kept:
            infos.append(_place(work, listing.name, split, kept))
        splits[split] = _counts(listing, split, total)
        skipped += [{"split": split, "id": id, "reason": why} for id, why in total.skipped]
        notes += [f"{split}: {id} {problem}" for id, problem in total.problems]
    _write_info(work, listing, infos)
    report = {
        "name": listing.full_name,
        "version": VERSION,
        **about,
        "notes": notes,
        "skipped": skipped,
        "splits": splits,  # last, as they have a line a class
        "versions": results.versions(),
    }
    write_json(work.folder / "report.json", report)
    return report


def _place(work, name, split, kept) -> tfds.core.SplitInfo:
    """Renames a split's shards; those without a video don't count."""
    template = naming.ShardedFileTemplate(
        data_dir=work.folder, dataset_name=name, split=split, filetype_suffix=FORMAT
    )
    for number, (shard, _) in enumerate(kept):
        path = template.sharded_filepath(shard_index=number, num_shards=len(kept))
        work.place(shard, Path(path).name)
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[part.records for _, part in kept],
        num_bytes=sum(part.record_bytes for _, part in kept),
        filename_template=template,
    )


def _counts(listing, split, total) -> dict[str, Any]:
    names = listing.label_names
    return {
        "listed": len(listing.splits[split]),
        "stored": total.records,
        "damaged": len(total.problems),
        "frames": total.frames,
        "bytes": total.video_bytes,
        "classes": {name: total.classes.get(str(number), 0) for number, name in enumerate(names)},
    }


def _write_info(work, listing, infos):
    identity = tfds.core.dataset_info.DatasetIdentity(
        name=listing.name,
        config_name=listing.config or None,
        version=tfds.core.Version(VERSION),
        data_dir=str(work.final),
        module_name="",
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=f"{listing.full_name}, prepared from local files by jaxaction data prepare.",
        features=features(listing),
        supervised_keys=("video", "labels" if listing.multi_label else "label"),
        disable_shuffling=True,
    )
    info.set_file_format(FORMAT)
    info.set_splits(tfds.core.splits.SplitDict(infos))
    info.write_to_directory(work.folder)
