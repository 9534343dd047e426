import json
from unittest import mock

import jax
import pytest

from jaxaction.config import build, stored
from jaxaction.errors import InputError
from jaxaction.training import setup
from tests import tiny_run


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tiny_run.write_clips(folder)
    return folder


@pytest.fixture
def config(clips):
    return tiny_run.config(clips)


def test_a_config_survives_json_with_its_tuples(config):
    config.optim.multipliers = ((".*/bias", 2.0, 0.0),)
    text = json.dumps(stored.to_dict(config))
    restored = stored.from_dict(json.loads(text))
    assert restored.to_dict() == config.to_dict()
    assert restored.optim.multipliers == ((".*/bias", 2.0, 0.0),)


def test_num_classes_other_than_the_data_is_refused(config, clips, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    lines = [f"{clips}/{line}" for line in (clips / "train.txt").read_text().splitlines()]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    config.data.train_file = str(tmp_path / "list.txt")
    with pytest.raises(InputError, match="model.num_classes 3 differs from the 4 classes of"):
        build.source(config, "train")


def test_a_label_outside_the_classes_is_refused(config):
    config.model.num_classes = 2
    with pytest.raises(InputError, match="train.txt:3: label 2 is not below"):
        build.source(config, "train")


def test_a_missing_list_of_videos_says_which_flag_to_set(config):
    config.data.test_file = ""
    with pytest.raises(InputError, match="set --config.data.test_file=FILE"):
        build.source(config, "test")


def test_a_list_of_videos_is_refused_if_the_source_is_tfds(config):
    config.data.update(source="tfds", name="motions")
    with pytest.raises(InputError, match="is a list of videos, but data.source is tfds; set --con"):
        build.source(config, "train")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("color_jitter", (0.4, 0.4, 0.4, 0.9), "and of hue, from 0 to 0.5"),
        ("color_jitter", (0.4, 0.4, 0.4), "neither .. nor the strengths"),
        ("rand_augment", (2, 90), "magnitude from 0 to 10"),
        ("rand_augment", (2, -1), "magnitude from 0 to 10"),
    ],
)
def test_colours_out_of_range_are_refused_before_the_first_clip(config, key, value, words):
    config.data[key] = value
    with pytest.raises(InputError, match=f"data.{key} .*{words}"):
        setup.train_transform(config)


def test_flow_is_not_taken_from_videos(config):
    config.data.modality = "flow"
    with pytest.raises(InputError, match="data.modality flow is read from folders"):
        build.source(config, "train")
    config.data.update(source="tfds", name="motions")
    with pytest.raises(InputError, match="data.modality flow is read from lists of folders, not"):
        build.source(config, "train")


def test_several_labels_per_video_have_to_be_configured(config, monkeypatch):
    videos, _ = build.open_source(config, "train", config.model.num_classes)
    videos.multi_label = True
    monkeypatch.setattr(build, "open_source", lambda *_: (videos, "somewhere"))
    with pytest.raises(InputError, match="somewhere has several labels.*set data.multi_label to T"):
        build.source(config, "train")


def test_an_unknown_kind_of_source_is_named(config):
    config.data.source = "folder"
    with pytest.raises(InputError, match="data.source 'folder' is none of tfds, annotations"):
        build.source(config, "train")


def test_the_train_loader_yields_the_configured_clips(config):
    videos = build.source(config, "train")
    batch = next(iter(setup.train_loader(config, videos)))
    assert batch["clip"].shape == (4, 2, 16, 16, 3)
    assert setup.batches_per_epoch(config, videos) == 3


def test_a_warm_up_is_counted_in_clips_too(config):
    """40 clips are 10 steps of 4, however long an epoch is."""
    config.optim.update(warmup_epochs=0.0, warmup_samples=40, learning_rate=1.0)
    for steps_per_epoch in (3, 7):
        _, schedule = setup.build_optimizer(config, steps_per_epoch)
        rates = [float(schedule(step)) for step in (0, 3, 9, 30)]
        assert rates == pytest.approx([0.1, 0.4, 1.0, 1.0])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("warmup_epochs", 0.5, "warmup_samples and optim.warmup_epochs 0.5 both say how long"),
        ("warmup_by", "epoch", "set optim.warmup_by to step"),
    ],
)
def test_a_warm_up_is_counted_in_one_way(config, key, value, words):
    config.optim.update(warmup_epochs=0.0, warmup_samples=40)
    config.optim[key] = value
    with pytest.raises(InputError, match=words):
        setup.build_optimizer(config, 3)


def test_the_learning_rate_follows_the_batch(config):
    config.optim.update(learning_rate=0.1, reference_batch=16, warmup_epochs=0.0)
    _, schedule = setup.build_optimizer(config, 3)
    assert float(schedule(0)) == pytest.approx(0.025)  # batch 4 of 16


@pytest.mark.parametrize(
    ("compute", "precision", "dtype"),
    [
        ("float32", "highest", "float32"),
        ("tf32", "tensorfloat32", "float32"),
        ("bfloat16", "default", "bfloat16"),
    ],
)
def test_compute_sets_precision_and_the_dtype_of_activations(config, compute, precision, dtype):
    before = jax.config.jax_default_matmul_precision
    config.compute = compute
    try:
        build.set_precision(config)
        assert jax.config.jax_default_matmul_precision == precision
        assert build.model(config).dtype == dtype
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_an_unknown_compute_is_named(config):
    config.compute = "float16"
    with pytest.raises(InputError, match="compute 'float16' is none of float32, tf32, bfloat16"):
        build.set_precision(config)


def test_the_largest_loss_is_the_factor_times_that_of_guessing(config):
    videos, schedule = mock.Mock(), setup.build_optimizer(config, 3)[1]
    config.model.num_classes, config.train.max_loss_factor = 4, 10.0
    divergence = setup.build_divergence_check(config, schedule, videos)
    assert divergence.max_loss == pytest.approx(13.863, abs=1e-3)
    config.train.max_loss_factor = 0.0
    assert setup.build_divergence_check(config, schedule, videos).max_loss == 0
