"""Every number in a config has a range, and is held to it before anything is built."""

import pytest

from jaxaction.config import flags, ranges, shipped
from jaxaction.errors import InputError

# Numbers that are checked where they are used, against other values.
ELSEWHERE = {
    "data.color_jitter",
    "data.rand_augment",
    "data.flip_labels",
    "optim.multipliers",
    "model.conv1_kernel",
    "model.conv1_stride_t",
    "model.pool1_stride_t",
    "model.spatial_strides",
    "model.temporal_strides",
    "model.inflate",
    "model.non_local",
    "model.fast.depth",
}


def numbers(config):
    """The keys whose values are numbers, or tuples of them."""
    for key in flags.flatten(config):
        section, name = flags.find(config, key)
        value = section[name]
        first = value[0] if isinstance(value, (tuple, list)) and value else value
        if isinstance(first, (int, float, tuple)) and not isinstance(first, bool):
            yield key


@pytest.mark.parametrize("name", [*shipped.FAMILIES, *shipped.variants()])
def test_every_number_of_a_shipped_config_has_a_range(name):
    config = flags.load_config(*flags.split_variant(name))
    ranges.check_ranges(config)
    ranged = {f"{section}.{key}" for section, keys in ranges.RANGES.items() for key in keys}
    assert set(numbers(config)) <= ranged | ELSEWHERE


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("train.epochs", 1e300, "above 1000000"),
        ("train.hang_seconds", 1e20, "above 10000000"),
        ("data.short_side", 1_000_000, "above 8192"),
        ("data.size", (64, 1_000_000), "1000000 is above 8192"),
        ("data.num_threads", 100_000, "above 512"),
        ("model.bn_group", -1, "below 0"),
        ("optim.warmup_epochs", 1e9, "above 1000000"),
        ("optim.gamma", -0.1, "below 0"),
        ("optim.milestones", (4.0, 2.0), r"do not rise; .*\(2.0, 4.0\)"),
        ("optim.learning_rate", float("nan"), "nan is not a number"),
    ],
)
def test_an_extreme_number_is_one_line(key, value, words):
    config = flags.load_config("tsn")
    section, name = flags.find(config, key)
    section[name] = value
    with pytest.raises(InputError, match=rf"^{key} .*{words}"):
        ranges.check_ranges(config)


def test_a_fraction_where_a_whole_number_belongs_is_refused_in_a_config_file_too():
    config = flags.load_config("tsn")
    with config.train.ignore_type():
        config.train.batch_size = 2.5
    with pytest.raises(InputError, match="train.batch_size 2.5: not a whole number"):
        ranges.check_ranges(config)
