import pytest

from jaxaction.config import build, checks, stored
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


def test_a_clip_length_that_the_model_cannot_take_is_found_from_shapes(config):
    slowfast(config).data.clip_len = 30
    line = "clip_len 30 is not a multiple of resample_rate 8; set data.clip_len to 24 or 32"
    with pytest.raises(InputError, match=f"^{line}$"):
        checks.check_clips(config)


@pytest.mark.parametrize("section", ["val", "test"])
def test_so_is_that_of_the_views(config, section):
    slowfast(config)[section].clip_len = 12
    line = f"clip_len 12 is not a multiple of resample_rate 8; set {section}.clip_len to 8 or 16"
    with pytest.raises(InputError, match=line):
        checks.check_clips(config)


@pytest.mark.parametrize("section", ["val", "test"])
def test_so_is_a_window_larger_than_the_features(config, section):
    config[section].window = (7, 7)
    with pytest.raises(InputError, match=rf"{section}.window \(7, 7\) is larger than the features"):
        checks.check_clips(config)


def test_a_batch_that_batch_norm_cannot_group_is_found_too(config):
    config.model.bn_group = 3
    with pytest.raises(InputError, match="bn_group 3 does not divide the batch of 4 clips"):
        checks.check_clips(config)


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
        ("train.ema_decay", 1.0, "1.0 is above 0.999999"),
        ("train.accumulate", 0, "0 is below 1"),
        ("train.precise_bn_clips", -1, "-1 is below 0"),
        ("optim.warmup_samples", -1, "-1 is below 0"),
        ("test.batch_size", 0, "0 is below 1"),
    ],
)
def test_a_number_out_of_its_range_is_named(config, key, value, words):
    checks.check_numbers(config)
    section, name = key.split(".")
    config[section][name] = value
    with pytest.raises(InputError, match=f"^{key} ") as caught:
        checks.check_numbers(config)
    assert words in str(caught.value)


def test_mean_and_std_have_a_number_for_each_channel(config):
    config.data.update(mean=(128.0, 128.0), std=(128.0, 128.0))
    with pytest.raises(InputError, match=r"mean has 2 numbers, but 1 frame\(s\) of rgb have 3"):
        checks.check_numbers(config)
    config.data.update(modality="flow")
    checks.check_numbers(config)
    config.data.update(stack=5)
    with pytest.raises(InputError, match=r"mean has 2 numbers, but 5 frame\(s\) of flow have 10"):
        checks.check_numbers(config)


def test_the_network_takes_the_channels_that_the_clips_have(config):
    config.data.update(modality="flow", mean=(128.0, 128.0), std=(128.0, 128.0))
    checks.check_clips(config)
    kernel = build.abstract_variables(config)["params"]["backbone"]["conv1"]["conv"]["kernel"]
    assert kernel.shape == (1, 7, 7, 2, 4)


def test_a_stored_run_s_test_has_keys_of_its_own(config):
    config.data.past_end = "repeat_last"
    config = stored.from_dict(stored.to_dict(config))
    checks.check_test_keys(config, ["data.root", "data.test_file", "test.past_end"])
    with pytest.raises(InputError, match="--config.data.past_end only changes tr.* 'repeat_last'"):
        checks.check_test_keys(config, ["data.past_end"])


def test_norms_group_the_clips_of_a_part(config):
    config.train.update(batch_size=12, accumulate=2)
    config.model.bn_group = 4
    with pytest.raises(InputError, match="bn_group 4 does not divide the batch of 6 clips"):
        checks.check_clips(config)
    config.train.accumulate = 1
    checks.check_clips(config)
