"""Writes the files that turn shards into a TFDS data set: features, metadata, and our report."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import example_serializer, naming

from jaxaction.commands.data.prepare.listing import ListedVideo, Listing
from jaxaction.commands.data.prepare.shards import Shard, ShardSummary, Workspace, write_json
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


def serializer(listing: Listing) -> Callable[[ListedVideo, bytes], bytes]:
    """Returns the function that makes a record of a video and its bytes."""
    feature_dict = features(listing)
    to_bytes = example_serializer.ExampleSerializer(feature_dict.get_serialized_info())

    def serialize(video: ListedVideo, data: bytes) -> bytes:
        label = video.label
        labels = {"labels": list(label)} if listing.multi_label else {"label": label}
        example = {"id": video.id, "video": data, **labels}
        return to_bytes.serialize_example(feature_dict.encode_example(example))

    return serialize


def finish(work: Workspace, listing: Listing, shards: list[Shard], origin: dict[str, Any]) -> dict:
    """Names the finished shards as TFDS does, writes metadata and report, and returns the report.

    A split of which nothing could be stored is left out.
    """
    infos, splits, notes = [], {}, list(listing.notes)
    skipped = [
        {"split": split, "id": video.id, "reason": "there is no such file"}
        for split, video in listing.missing
    ]
    for split in listing.splits:
        summaries = [(shard, work.summary(shard)) for shard in shards if shard.split == split]
        stored = [(shard, summary) for shard, summary in summaries if summary.records]
        total = ShardSummary()
        for _, summary in summaries:
            total.merge(summary)
        if stored:
            infos.append(_place_shards(work, listing.name, split, stored))
        splits[split] = _counts(listing, split, total)
        skipped += [{"split": split, "id": id, "reason": reason} for id, reason in total.skipped]
        notes += [f"{split}: {id} {problem}" for id, problem in total.problems]
    _write_info(work, listing, infos)
    report = {
        "name": listing.full_name,
        "version": VERSION,
        **origin,
        "notes": notes,
        "skipped": skipped,
        "splits": splits,  # last, as they have a line a class
        "versions": results.versions(),
    }
    write_json(work.folder / "report.json", report)
    return report


def _place_shards(work, name, split, stored) -> tfds.core.SplitInfo:
    """Renames a split's shards; those without a video don't count."""
    template = naming.ShardedFileTemplate(
        data_dir=work.folder, dataset_name=name, split=split, filetype_suffix=FORMAT
    )
    for number, (shard, _) in enumerate(stored):
        path = template.sharded_filepath(shard_index=number, num_shards=len(stored))
        work.place(shard, Path(path).name)
    return tfds.core.SplitInfo(
        name=split,
        shard_lengths=[summary.records for _, summary in stored],
        num_bytes=sum(summary.record_bytes for _, summary in stored),
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
