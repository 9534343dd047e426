"""TFDS data sets through array_record: ours and others', found, prepared, refused."""

import multiprocessing
import os
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jaxaction.commands.data.prepare import metadata
from jaxaction.commands.data.prepare.listing import ListedVideo, Listing
from jaxaction.commands.data.prepare.shards import Shard, StoredVideo, Workspace
from jaxaction.data import decode, tfds_video
from jaxaction.data.builders.motions import Motions
from jaxaction.data.tfds_sources import tfds_source
from jaxaction.errors import InputError
from tests.data.videos import encoded, pictures

tfds_video.enable()  # the builders below use features.Video

from tests.data import other_builders  # noqa: E402


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    other_builders.Gestures(data_dir=folder).download_and_prepare(file_format="array_record")
    other_builders.Pairs(data_dir=folder).download_and_prepare(file_format="array_record")
    return folder


def test_motions_prepare_themselves_with_one_line(tmp_path, capsys):
    source = tfds_source("motions/tiny", "train", tmp_path)
    assert capsys.readouterr() == (
        "",
        f"preparing motions/tiny in {tmp_path}/motions/tiny/1.0.0 (once, under a minute)\n",
    )
    assert len(source) == 96
    assert len(source.label_names) == 12
    assert source.mirror_changes_class
    assert decode.num_frames(source[0].video) == 24
    tfds_source("motions/tiny", "train", tmp_path)
    assert capsys.readouterr() == ("", "")


def test_a_split_can_be_a_part(tmp_path):
    assert len(tfds_source("motions/tiny", "test[:50%]", tmp_path)) == 12


def test_a_preparation_that_was_cut_off_is_redone(tmp_path):
    remains = tmp_path / "motions" / "tiny" / "incomplete.ABCDEF_1.0.0"
    remains.mkdir(parents=True)
    (remains / "motions-train.array_record-00000-of-00001").write_bytes(b"half")
    assert len(tfds_source("motions/tiny", "test", tmp_path)) == 24


def _count(folder):
    return len(tfds_source("motions/tiny", "train", folder))


def test_two_processes_may_prepare_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_count, [tmp_path, tmp_path], chunksize=1) == [96, 96]
    assert os.listdir(tmp_path / "motions" / "tiny") == ["1.0.0"]


def test_the_last_renaming_lost_to_another_process_is_no_error(tmp_path, monkeypatch):
    prepare = Motions.download_and_prepare

    def other_was_first(builder, **options):
        prepare(Motions(config="tiny", data_dir=tmp_path), **options)
        raise OSError("Directory not empty")

    monkeypatch.setattr(Motions, "download_and_prepare", other_was_first)
    assert len(tfds_source("motions/tiny", "train", tmp_path)) == 96


def test_a_video_feature_is_read_frame_by_frame_without_tensorflow(data_dir):
    source = tfds_source("gestures", "train", data_dir)
    assert source.label_names == ("wave", "nod")
    assert not source.mirror_changes_class
    records = sorted((source[i] for i in range(4)), key=lambda record: len(record.video))
    assert [record.label for record in records] == [0, 1, 0, 1]
    frames = decode.read_frames(records[2].video, [6, 0])
    np.testing.assert_array_equal(frames, pictures(7)[[6, 0]])
    assert "tensorflow" not in sys.modules


def test_features_are_named_where_there_are_several(data_dir):
    source = tfds_source("pairs", "train", data_dir, "right", "noun")
    assert (source[0].label, source.label_names) == (1, ("0", "1"))
    assert decode.num_frames(source[0].video) == 4
    left = tfds_source("pairs", "train", data_dir, "left", "verb")[0]
    assert left.video == other_builders.LEFT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pairs", "train"), r"pairs has 2 label features \(verb, noun\); set data.label_feature"),
        (
            ("pairs", "train", "", "noun"),
            r"2 video features \(left, right\); set data.video_feature",
        ),
        (("pairs", "train", "note", "noun"), "'note' is no video of pairs; it has left, right"),
        (("gestures", "train", "", "title"), "'title' is no label of gestures; it has kind"),
        (("gestures", "test"), r"gestures \(train\) has no split 'test'"),
        (("gestures", "train[:0]"), r"no split 'train\[:0\]'"),
        (("gesture", "train"), "no TFDS data set 'gesture'; the nearest name is gestures"),
        (("ucf102", "train"), "no TFDS data set 'ucf102'; the nearest name is ucf101"),
        (("motion", "train"), "no TFDS data set 'motion'; the nearest name is motions"),
        (("motions/huge", "train"), "data.name 'motions/huge' names no TFDS data set"),
        (
            ("ucf101", "train"),
            "ucf101 is not prepared in .*; run: jaxaction data prepare ucf101/ucf101_1_256 --out ",
        ),
        (("moving_mnist", "test"), r"not prepared in .*; run: python -c .*'array_record'\)"),
        (
            ("kinetics/600", "train"),
            "not prepared in .*; run: jaxaction data prepare kinetics/600 --from DIR --out ",
        ),
        (("kinetic/600", "train"), "no TFDS data set 'kinetic/600'; the nearest name is kinetics"),
    ],
)
def test_data_sets_that_cannot_be_opened_are_named_in_one_line(data_dir, arguments, message):
    name, split, *features = arguments
    with pytest.raises(InputError, match=message) as raised:
        tfds_source(name, split, data_dir, *features)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_hold_our_data_sets_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="motions can't be prepared in .*file.*set data.data_dir"):
        tfds_source("motions/tiny", "train", tmp_path / "file")


def test_an_id_reads_nothing(data_dir, monkeypatch):
    source = tfds_source("gestures", "train", data_dir)
    ids = [source[i].id for i in range(4)]
    monkeypatch.setattr(source, "_data", None)
    assert ids == [source.id(i) for i in range(4)]


@pytest.fixture
def scenes(tmp_path):
    """A folder with a data set of our own whose videos have ids and several labels."""
    listed = [
        ListedVideo("one", "", (2, 0)),
        ListedVideo("two", "", (1,)),
        ListedVideo("three", "", ()),
    ]
    listing = Listing("scenes", "", ("a", "b", "c"), {"train": listed}, multi_label=True)
    serialize = metadata.serializer(listing)
    shard = Shard("train", 0, listed)
    work = Workspace(tmp_path / "scenes" / "1.0.0")
    with work.opened(listing, {}):
        data = encoded(count=2)
        work.write(shard, (StoredVideo(serialize(video, data), 2, len(data)) for video in listed))
        metadata.finish(work, listing, [shard], {})
        work.publish()
    return tmp_path


def test_ids_are_the_data_set_s_own_where_it_has_some(scenes, monkeypatch):
    source = tfds_source("scenes", "train", scenes)
    assert source.id(2) == "three"  # read for it
    assert [source[i].id for i in range(2)] == ["one", "two"]
    monkeypatch.setattr(source, "_data", None)
    assert [source.id(i) for i in range(3)] == ["one", "two", "three"]  # remembered


@pytest.mark.parametrize("feature", ["", "labels"])
def test_a_record_with_several_labels_has_a_tuple(scenes, feature):
    source = tfds_source("scenes", "train", scenes, label_feature=feature)
    assert source.multi_label
    assert source.label_names == ("a", "b", "c")
    assert [source[i].label for i in range(3)] == [(2, 0), (1,), ()]


def test_a_data_set_prepared_as_tfrecord_is_refused_with_the_way_out(tmp_path):
    other_builders.Gestures(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    info = tmp_path / "gestures" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace('"array_record"', '"tfrecord"'))
    with pytest.raises(InputError, match="was prepared as tfrecord, .*; delete it and run: python"):
        tfds_source("gestures", "train", tmp_path)


def test_the_video_feature_keeps_its_dtype_and_json_without_tensorflow():
    feature = tfds.features.Video(shape=(None, 4, 6, 3))
    assert feature.dtype == np.uint8
    again = tfds.features.FeatureConnector.from_json(feature.to_json())
    assert again.shape == (None, 4, 6, 3)


@pytest.mark.parametrize(("encoding", "tolerance"), [("png", 0), ("jpeg", 12)])
def test_arrays_are_encoded_as_pictures_without_tensorflow(encoding, tolerance):
    # JPEG is lossy: smooth pictures stay within a few grey levels.
    feature = tfds.features.Video(shape=(None, 16, 16, 3), encoding_format=encoding)
    frames = np.zeros((2, 16, 16, 3), np.uint8)
    frames[..., 0], frames[1, ..., 2] = 200, 90
    stored = feature.encode_example(frames)
    decoded = decode.read_frames(list(stored), [0, 1])
    np.testing.assert_allclose(decoded.astype(int), frames, atol=tolerance)
