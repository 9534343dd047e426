import json
from unittest import mock

import jax
import pytest

from jaxaction import from_config
from jaxaction.errors import InputError
from tests import tiny_run


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    tiny_run.write_clips(folder)
    return folder


@pytest.fixture
def config(clips):
    return tiny_run.config(clips)


def slowfast(config):
    config.model = {"name": "slowfast", "num_classes": 3, "stage_blocks": (1,), "width": 8}
    config.data.clip_len = 32
    return config


def test_a_config_survives_json_with_its_tuples(config):
    config.optim.multipliers = ((".*/bias", 2.0, 0.0),)
    text = json.dumps(from_config.to_dict(config))
    found = from_config.from_dict(json.loads(text))
    assert found.to_dict() == config.to_dict()
    assert found.optim.multipliers == ((".*/bias", 2.0, 0.0),)


def test_a_clip_length_that_the_model_cannot_take_is_found_from_shapes(config):
    slowfast(config).data.clip_len = 30
    line = "clip_len 30 is not a multiple of resample_rate 8; set data.clip_len to 24 or 32"
    with pytest.raises(InputError, match=f"^{line}$"):
        from_config.check_clips(config)


@pytest.mark.parametrize("section", ["val", "test"])
def test_so_is_that_of_the_views(config, section):
    slowfast(config)[section].clip_len = 12
    line = f"clip_len 12 is not a multiple of resample_rate 8; set {section}.clip_len to 8 or 16"
    with pytest.raises(InputError, match=line):
        from_config.check_clips(config)


@pytest.mark.parametrize("section", ["val", "test"])
def test_so_is_a_window_larger_than_the_features(config, section):
    config[section].window = (7, 7)
    with pytest.raises(InputError, match=rf"{section}.window \(7, 7\) is larger than the features"):
        from_config.check_clips(config)


def test_a_batch_that_batch_norm_cannot_group_is_found_too(config):
    config.model.bn_group = 3
    with pytest.raises(InputError, match="bn_group 3 does not divide the batch of 4 clips"):
        from_config.check_clips(config)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("optim.learning_rate", -0.1, "-0.1 is below 0; set it to 0 or more"),
        ("optim.momentum", 1.5, "1.5 is above 1; set it to 1 or less"),
        ("data.num_threads", -1, "-1 is below 0"),
        ("data.max_bad_share", 2.0, "2.0 is above 1"),
        ("model.dropout", 2.0, "2.0 is above 1"),
        ("model.width", 0, "0 is below 1"),
        ("train.seed", -1, "-1 is below 0"),
        ("train.seed", 2**32, "is above 4294967295"),
        ("train.keep", 0, "0 is below 1"),
        ("train.label_smoothing", 1.5, "1.5 is above 1"),
        ("train.ema_decay", -0.1, "-0.1 is below 0"),
        ("train.accumulate", 0, "0 is below 1"),
        ("train.precise_bn_clips", -1, "-1 is below 0"),
        ("optim.warmup_samples", -1, "-1 is below 0"),
        ("test.batch_size", 0, "0 is below 1"),
    ],
)
def test_a_number_out_of_its_range_is_named(config, key, value, words):
    from_config.check_numbers(config)
    section, name = key.split(".")
    config[section][name] = value
    with pytest.raises(InputError, match=f"^{key} ") as caught:
        from_config.check_numbers(config)
    assert words in str(caught.value)


def test_num_classes_other_than_the_data_is_refused(config, clips, tmp_path):
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    lines = [f"{clips}/{line}" for line in (clips / "train.txt").read_text().splitlines()]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    config.data.train_file = str(tmp_path / "list.txt")
    with pytest.raises(InputError, match="model.num_classes 3 differs from the 4 classes of"):
        from_config.source(config, "train")


def test_a_label_outside_the_classes_is_refused(config):
    config.model.num_classes = 2
    with pytest.raises(InputError, match="train.txt:3: label 2 is not below"):
        from_config.source(config, "train")


def test_a_missing_list_of_videos_says_which_flag_to_set(config):
    config.data.test_file = ""
    with pytest.raises(InputError, match="set --config.data.test_file=FILE"):
        from_config.source(config, "test")


def test_mean_and_std_have_a_number_for_each_channel(config):
    config.data.update(mean=(128.0, 128.0), std=(128.0, 128.0))
    with pytest.raises(InputError, match=r"mean has 2 numbers, but 1 frame\(s\) of rgb have 3"):
        from_config.check_numbers(config)
    config.data.update(modality="flow")
    from_config.check_numbers(config)
    config.data.update(stack=5)
    with pytest.raises(InputError, match=r"mean has 2 numbers, but 5 frame\(s\) of flow have 10"):
        from_config.check_numbers(config)


def test_the_network_takes_the_channels_that_the_clips_have(config):
    config.data.update(modality="flow", mean=(128.0, 128.0), std=(128.0, 128.0))
    from_config.check_clips(config)
    kernel = from_config.abstract_variables(config)["params"]["backbone"]["conv1"]["conv"]["kernel"]
    assert kernel.shape == (1, 7, 7, 2, 4)


def test_a_list_beside_another_kind_of_source_is_not_passed_over(config):
    config.data.update(source="tfds", name="motions")
    with pytest.raises(InputError, match="is a list of videos, but data.source is tfds; set --con"):
        from_config.source(config, "train")


def test_a_stored_run_s_test_has_keys_of_its_own(config):
    config.data.past_end = "repeat_last"
    stored = from_config.from_dict(from_config.to_dict(config))
    from_config.check_test_keys(stored, ["data.root", "data.test_file", "test.past_end"])
    with pytest.raises(InputError, match="--config.data.past_end is training's; .* 'repeat_last'"):
        from_config.check_test_keys(stored, ["data.past_end"])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("color_jitter", (0.4, 0.4, 0.4, 0.9), "and of hue, of 0 to 0.5"),
        ("color_jitter", (0.4, 0.4, 0.4), "neither .. nor the strengths"),
        ("rand_augment", (2, 90), "magnitude of 0 to 10"),
        ("rand_augment", (2, -1), "magnitude of 0 to 10"),
    ],
)
def test_colours_out_of_range_are_refused_before_the_first_clip(config, key, value, words):
    config.data[key] = value
    with pytest.raises(InputError, match=f"data.{key} .*{words}"):
        from_config.train_transform(config)


def test_flow_is_not_taken_from_videos(config):
    config.data.modality = "flow"
    with pytest.raises(InputError, match="data.modality flow is read from folders"):
        from_config.source(config, "train")
    config.data.update(source="tfds", name="motions")
    with pytest.raises(InputError, match="data.modality flow is read from lists of folders, not"):
        from_config.source(config, "train")


def test_several_labels_a_video_have_to_be_configured(config, monkeypatch):
    found, _ = from_config.open_source(config, "train", config.model.num_classes)
    found.multi_label = True
    monkeypatch.setattr(from_config, "open_source", lambda *_: (found, "somewhere"))
    with pytest.raises(InputError, match="somewhere has several labels.*set data.multi_label to T"):
        from_config.source(config, "train")


def test_an_unknown_kind_of_source_is_named(config):
    config.data.source = "folder"
    with pytest.raises(InputError, match="data.source 'folder' is none of tfds, annotations"):
        from_config.source(config, "train")


def test_the_train_loader_yields_the_configured_clips(config):
    videos = from_config.source(config, "train")
    batch = next(iter(from_config.train_loader(config, videos)))
    assert batch["clip"].shape == (4, 2, 16, 16, 3)
    assert from_config.steps_per_epoch(config, videos) == 3


def test_a_warm_up_is_counted_in_clips_too(config):
    """40 clips are 10 steps of 4, whatever an epoch is."""
    config.optim.update(warmup_epochs=0.0, warmup_samples=40, learning_rate=1.0)
    for steps_per_epoch in (3, 7):
        _, schedule = from_config.optimizer(config, steps_per_epoch)
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
        from_config.optimizer(config, 3)


def test_norms_group_the_clips_of_a_part(config):
    config.train.update(batch_size=12, accumulate=2)
    config.model.bn_group = 4
    with pytest.raises(InputError, match="bn_group 4 does not divide the batch of 6 clips"):
        from_config.check_clips(config)
    config.train.accumulate = 1
    from_config.check_clips(config)


def test_the_learning_rate_follows_the_batch(config):
    config.optim.update(learning_rate=0.1, reference_batch=16, warmup_epochs=0.0)
    _, schedule = from_config.optimizer(config, 3)
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
        from_config.set_precision(config)
        assert jax.config.jax_default_matmul_precision == precision
        assert from_config.model(config).dtype == dtype
    finally:
        jax.config.update("jax_default_matmul_precision", before)


def test_an_unknown_compute_is_named(config):
    config.compute = "float16"
    with pytest.raises(InputError, match="compute 'float16' is none of float32, tf32, bfloat16"):
        from_config.set_precision(config)


def test_the_largest_loss_is_the_factor_times_that_of_guessing(config):
    videos, schedule = mock.Mock(), from_config.optimizer(config, 3)[1]
    config.model.num_classes, config.train.max_loss_factor = 4, 10.0
    assert from_config.guard(config, schedule, videos).max_loss == pytest.approx(13.863, abs=1e-3)
    config.train.max_loss_factor = 0.0
    assert from_config.guard(config, schedule, videos).max_loss == 0
