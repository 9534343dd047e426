"""Our figures against MMAction2's table, the stored figures against the networks, and copies."""

import functools
import json
import math
import re
import shlex
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from jaxaction.commands import flops, zoo
from jaxaction.commands.cli import main
from jaxaction.commands.zoo_copy import followers
from jaxaction.config import build, flags, shipped
from jaxaction.errors import InputError
from tests import figures

VARIANTS = shipped.variants()
CONFIGS = {name: flags.load_config(*name.split(":")) for name in VARIANTS}
NETWORKS = {zoo.network(config): config for config in CONFIGS.values()}
RECIPES = [name for name, row in VARIANTS.items() if row.mmaction_name]
SLOWONLY_NL = "slowonly:r50-in1k-nl-embedded-gaussian"

# GMACs of one clip of 224x224 with the head, and millions of parameters, both counted with
# MMAction2's networks; then top-1, top-5 and "FLOPs" in 1e9 (of the backbone) from its README.
TABLE = {
    "tsn:r50-1x1x3-k400": ("102.18", "24.328", 72.83, 90.65, "102.7"),
    "tsn:r50-1x1x5-k400": ("102.18", "24.328", 73.80, 91.21, "102.7"),
    "tsn:r50-1x1x8-k400": ("102.18", "24.328", 74.12, 91.34, "102.7"),
    "tsn:r50-dense-1x1x5-k400": ("102.18", "24.328", 71.37, 89.67, "102.7"),
    "tsn:r101-1x1x8-k400": ("194.99", "43.32", 75.89, 92.07, "195.8"),
    "tsn:r50-5x1x3-k400-flow": ("", "24.35", 0, 0, ""),
    "tsn:r50-1x1x8-sthv2": ("102.18", "23.865", 35.51, 67.09, "102.7"),
    "tsn:r50-1x1x16-sthv2": ("102.18", "23.865", 36.91, 68.77, "102.7"),
    "tsm:r50-1x1x8-k400": ("32.70", "24.328", 73.18, 90.56, "32.88"),
    "tsm:r50-1x1x8-100e-k400": ("32.70", "24.328", 73.22, 90.22, "32.88"),
    "tsm:r50-1x1x16-k400": ("65.41", "24.328", 75.12, 91.55, "65.75"),
    "tsm:r50-dense-1x1x8-k400": ("32.70", "24.328", 73.38, 90.78, "32.88"),
    "tsm:r50-nl-dot-1x1x8-k400": ("61.10", "31.68", 74.49, 91.15, "61.30"),
    "tsm:r50-nl-gaussian-1x1x8-k400": ("58.86", "28.01", 73.66, 90.99, "59.06"),
    "tsm:r50-nl-embedded-gaussian-1x1x8-k400": ("61.10", "31.68", 74.34, 91.23, "61.30"),
    "tsm:mobilenetv2-1x1x8-k400": ("2.40", "2.736", 68.71, 88.32, "3.269"),
    "tsm:r50-1x1x8-sthv2": ("32.70", "23.865", 62.72, 87.70, "32.88"),
    "tsm:r50-1x1x16-sthv2": ("65.41", "23.865", 64.16, 88.61, "65.75"),
    "tsm:r101-1x1x8-sthv2": ("62.40", "42.86", 63.70, 88.28, "62.66"),
    "i3d:r50-32x2x1-k400": ("33.13", "28.04", 73.47, 91.27, "43.5"),
    "i3d:r50-dense-32x2x1-k400": ("33.13", "28.04", 73.77, 91.35, "43.5"),
    "i3d:r50-nl-dot-32x2x1-k400": ("44.34", "35.40", 74.80, 92.07, "59.3"),
    "i3d:r50-nl-gaussian-32x2x1-k400": ("41.72", "31.72", 73.97, 91.33, "56.5"),
    "i3d:r50-nl-embedded-gaussian-32x2x1-k400": ("44.34", "35.40", 74.73, 91.80, "59.3"),
    "i3d:r50-heavy-32x2x1-k400": ("126.78", "33.02", 76.21, 92.48, "166.3"),
    "r2plus1d:r34-8x8-k400": ("40.56", "63.76", 69.76, 88.41, "53.1"),
    "r2plus1d:r34-32x2-k400": ("162.24", "63.76", 75.46, 92.28, "213"),
    "slowonly:r50-4x16-k400": ("20.87", "32.45", 72.97, 90.88, "27.38"),
    "slowonly:r50-8x8-k400": ("41.74", "32.45", 75.15, 92.11, "54.75"),
    "slowonly:r101-8x8-k400": ("85.41", "60.36", 76.59, 92.80, "112"),
    "slowonly:r50-in1k-4x16-k400": ("20.87", "32.45", 75.12, 91.72, "27.38"),
    "slowonly:r50-in1k-8x8-k400": ("41.74", "32.45", 76.45, 92.55, "54.75"),
    f"{SLOWONLY_NL}-4x16-k400": ("32.08", "39.81", 75.07, 91.69, "43.23"),
    f"{SLOWONLY_NL}-8x8-k400": ("70.14", "39.81", 76.65, 92.47, "96.66"),
    "slowonly:r50-in1k-4x16-k700": ("20.87", "33.069", 65.52, 86.39, "27.38"),
    "slowonly:r50-in1k-8x8-k700": ("41.74", "33.069", 67.67, 87.80, "54.75"),
    "slowonly:r50-in1k-8x8-k710": ("41.74", "33.089", 72.39, 90.60, "54.75"),
    "slowonly:r50-16x4-k400-flow": ("", "32.45", 0, 0, ""),
    "slowfast:r50-4x16-k400": ("27.64", "34.48", 75.55, 92.35, "36.3"),
    "slowfast:r50-8x8-k400": ("50.31", "34.57", 76.80, 92.99, "66.1"),
    "slowfast:r50-8x8-steplr-k400": ("50.31", "34.57", 76.65, 92.86, "66.1"),
    "slowfast:r101-8x8-k400": ("96.71", "62.91", 78.65, 93.88, "126"),
    "slowfast:r101-r50-4x16-k400": ("49.48", "62.38", 77.03, 92.99, "64.9"),
}


@pytest.fixture(scope="module")
def count():
    """A function that counts a config's network at 224x224, each network only once."""

    @functools.cache
    def once(text):
        config = NETWORKS[text]
        clip_shape = (1, config.test.clip_len, 224, 224, len(config.data.mean))
        return flops.count(build.model(config), clip_shape)

    return lambda config: once(zoo.network(config))


def at_256(layer):
    """Returns the MACs in clips of 256x256 of a layer that was counted for 224x224.

    Kernels are odd and padded by half, and strides are powers of two up to 32, which divide both
    sizes: every output has (256 / 224)^2 times the pixels, a non-local block's keys as well.
    """
    return layer.macs * Fraction(256, 224) ** {"conv": 2, "matmul": 4, "dense": 0}[layer.kind]


def test_every_network_of_the_table_is_a_variant():
    assert list(TABLE) == RECIPES and len(TABLE) == 43


@pytest.mark.parametrize("text", NETWORKS)
def test_kept_figures_are_those_of_the_network(count, text):
    cost, kept = count(NETWORKS[text]), zoo.kept_figures().get(text)
    assert kept, "zoo_figures.json is older than the configs; run `jaxaction zoo --write`"
    backbone = [layer for layer in cost.layers if not layer.path.startswith("cls_head/")]
    large, headless = (sum(map(at_256, layers)) for layers in (cost.layers, backbone))
    counted = (cost.parameters, cost.macs, cost.macs_without_head, large, headless)
    assert kept == counted, "zoo_figures.json is out of date; run `jaxaction zoo --write`"


def test_no_kept_figures_are_of_other_networks():
    assert zoo.kept_figures().keys() == NETWORKS.keys(), "run `jaxaction zoo --write`"


@pytest.mark.parametrize("name", TABLE)
def test_macs_and_parameters_are_the_tables(count, name):
    gmacs, millions, *_ = TABLE[name]
    cost = count(CONFIGS[name])
    assert f"{cost.parameters / 1e6:.{decimals(millions)}f}" == millions
    if gmacs:
        # Rounded to 0.01; for 16 segments and 174 classes the table repeats the figure of 400
        # classes, which is 0.007 more.
        assert cost.macs / 1e9 == pytest.approx(float(gmacs), abs=0.013)


@pytest.mark.parametrize("name", [name for name, row in TABLE.items() if row[-1]])
def test_published_flops_are_macs_of_the_backbone_and_its_norms(count, name):
    published = TABLE[name][-1]
    at_224 = CONFIGS[name].model.name in ("tsn", "tsm")  # the README's others are of 256x256
    size = 224 if at_224 else 256
    backbone = [x for x in count(CONFIGS[name]).layers if not x.path.startswith("cls_head/")]
    macs = sum(x.macs if at_224 else at_256(x) for x in backbone)
    # MMAction2's counter adds two operations for each value that a batch norm gets, 0.2 to 0.6
    # % in all, 4.5 % with MobileNetV2.
    normed = sum(math.prod(x.output) for x in backbone if has_norm(x)) * Fraction(size, 224) ** 2
    # The README rounds (111.9 to 112) or truncates (126.8 to 126).
    unit = 10.0 ** -decimals(published)
    assert abs(float(macs + 2 * normed) / 1e9 - float(published)) < unit


def has_norm(layer):
    """Whether a batch norm follows the layer, as after all convolutions but three of a block.

    The three are a non-local block's. Laterals have none either, which is below the last digit.
    """
    return layer.kind == "conv" and not {"g", "theta", "phi"} & set(layer.path.split("/"))


def decimals(number):
    return len(number.partition(".")[2])


@pytest.mark.parametrize(
    "name", [name for name in RECIPES if VARIANTS[name].mmaction_name in figures.case_names()]
)
def test_parameters_are_those_of_mmaction2(count, name):
    case = figures.Case(VARIANTS[name].mmaction_name)
    assert count(CONFIGS[name]).parameters == case.meta["parameters"]


@pytest.mark.parametrize("name", TABLE)
def test_published_accuracies_are_the_tables(name):
    assert (VARIANTS[name].top1, VARIANTS[name].top5) == TABLE[name][2:4]


@pytest.fixture(scope="module")
def listing():
    return zoo.table(VARIANTS, CONFIGS).splitlines()


def cells(listing, name):
    (line,) = (line for line in listing if line.split(" ")[0] == name)
    return re.split(r" {2,}", line)


def test_listing_has_a_line_for_every_variant_and_separates_families(listing):
    names = [line.split(" ")[0] for line in listing[2:] if line]
    assert names == list(VARIANTS)
    families = [name.split(":")[0] for name in names]
    assert tuple(dict.fromkeys(families)) == shipped.FAMILIES
    assert listing.count("") == len(shipped.FAMILIES)


def test_listing_says_that_accuracies_are_published_and_not_measured(listing):
    at = listing[1].index("top-1")
    assert listing[0][at:] == "published by MMAction2, not measured here"
    assert listing[1][at:].split() == ["top-1", "top-5", "file"]


def test_listing_has_dashes_for_unpublished_values(listing):
    for name, row in VARIANTS.items():
        if not row.top1 or not row.mmaction_name:
            assert cells(listing, name)[-3:-1] == ["-", "-"]
    assert cells(listing, "tsn:r50-5x1x3-k400-flow")[-1] == "-"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tsn:r50-1x1x3-k400", ["3 segments", "25x10", "24.33", "102.18"]),
        ("tsn:r50-dense-1x1x5-k400", ["dense 5x12", "dense 10x1", "24.33", "102.18"]),
        ("tsm:r50-dense-1x1x8-k400", ["dense 8x8", "dense 10x10", "24.33", "32.70"]),
        ("tsm:r50-1x1x16-sthv2", ["16 segments", "twice 16x3", "23.86", "65.40"]),
        ("slowfast:r50-4x16-k400", ["32x2", "10x3", "34.48", "27.64", "27.64", "36.10"]),
    ],
)
def test_row_has_sampling_views_and_figures(listing, name, words):
    row = VARIANTS[name]
    row_cells = cells(listing, name)
    assert row_cells[1 : 1 + len(words)] == words
    assert row_cells[-3:] == [f"{row.top1:.2f}", f"{row.top5:.2f}", row.file]


def test_command_lists_all_from_any_directory_without_counting(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["zoo"]) == 0
    printed = capsys.readouterr()
    assert zoo.table(VARIANTS, CONFIGS) in printed.out
    assert printed.err == ""


def test_command_lists_one_family(capsys):
    assert main(["zoo", "r2plus1d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = {line.split()[0] for line in lines if ":r" in line.split(" ")[0]}
    assert names == {name for name in VARIANTS if name.startswith("r2plus1d:")}


def test_command_knows_the_names_of_mmaction2(capsys):
    assert main(["zoo", "slowfast_r50_8xb8-8x8x1-256e_kinetics400-rgb.py"]) == 0
    assert capsys.readouterr().out.startswith("slowfast:r50-8x8-k400\n")


def test_lines_are_cut_at_the_width_of_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")  # get_terminal_size prefers it
    assert main(["zoo"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) == 100
    assert all(line.endswith("…") for line in lines if line.startswith("slowfast:"))


def small(**fields):
    config = flags.load_config("tsn")
    config.model.update(stage_blocks=(1,), width=4, **fields)
    return config


def test_fields_that_cost_nothing_leave_the_network_the_same():
    other = small(dropout=0.9, bn_group=2)
    other.optim.learning_rate = 1.0
    other.data.size = (32, 32)
    assert zoo.network(other) == zoo.network(small())
    assert zoo.network(small(num_classes=9)) != zoo.network(small())
    other.test.clip_len = 25
    assert zoo.network(other).endswith("clip=25x3")


def test_unknown_network_is_counted_once_and_reported(capsys):
    text = zoo.network(small())
    figures = zoo.figures([small(), small()])
    assert capsys.readouterr().err == f"counting {text}\n"
    stem, block = 147 * 4 * 112**2, 16 * (1 + 9 + 4 + 4) * 56**2
    headless, head = 8 * (stem + block), 12 * 16
    large = headless * 64 // 49
    parameters = 588 + 288 + 2 * (4 + 4 + 4 + 16 + 16) + 12 * 16 + 12
    assert figures == {text: (parameters, headless + head, headless, large + head, large)}


def test_write_keeps_figures_that_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(zoo, "FILE", tmp_path / "figures.json")
    row = VARIANTS["tsn:r50-1x1x3-k400"]
    monkeypatch.setattr(shipped, "variants", lambda: {"tsn:small": row})
    config = small()
    monkeypatch.setattr(flags, "load_config", lambda file, variant: config)
    assert zoo.kept_figures() == {}
    assert main(["zoo", "--write"]) == 0
    assert zoo.kept_figures() == zoo.figures([config], {})
    assert list(json.loads(zoo.FILE.read_text())) == [zoo.network(config)]


@pytest.mark.parametrize("text", ["tsm:{}", "configs/tsm.py:{}", f"{shipped.folder()}/tsm.py:{{}}"])
def test_command_describes_one_variant(text, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["zoo", text.format("mobilenetv2-1x1x8-k400")]) == 0
    lines = capsys.readouterr().out.splitlines()
    row = VARIANTS["tsm:mobilenetv2-1x1x8-k400"]
    assert lines[:11] == [
        "tsm:mobilenetv2-1x1x8-k400",
        "",
        f"MMAction2   {row.mmaction_name}",
        f"file        {row.file}",
        "published   top-1 68.71 %, top-5 88.32 % (by MMAction2, not measured here)",
        "note        -",
        "train       8 segments",
        "test        8 segments x 3 crops of 256x256 (short side 256), prob",
        "at 224x224  2.40 GMACs with head, 2.40 without",
        "at 256x256  3.13 GMACs with head, 3.13 without",
        "",
    ]
    assert lines[11] == "one clip of the test, 1x8x256x256x3"
    assert "2.74 M parameters" in lines
    assert "--config.data.size='(224, 224)'" in lines
    assert lines.index("docs/config.md explains every key:") < lines.index("--config.compute=tf32")


def test_description_has_note_and_stages():
    name = "r2plus1d:r18-torchvision-16x2-k400"
    text = zoo.describe(name, VARIANTS[name])
    assert "\npublished   -\n" in text and f"\nnote        {VARIANTS[name].note}\n" in text
    assert "\nbackbone/layer4  1x2x7x7x512\n" in text  # its test takes 112x112


@pytest.mark.parametrize("name", VARIANTS)
def test_printed_settings_make_the_same_config(name):
    printed = zoo.settings(CONFIGS[name])
    others, overrides = flags.take_overrides(shlex.split(printed))
    config = flags.load_config(*name.split(":"))
    assert not others and sorted(overrides) == sorted(flags.flatten(config))
    assert flags.apply_overrides(config, overrides) == CONFIGS[name]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["tsm:r50-1x1x8-k40"], "no such variant; there is tsm:r50-1x1x8-k400"),
        (["slowonly:r101"], "there is slowonly:r101-8x8-k400"),
        (["r2plus1d:r34"], "there is r2plus1d:r34-8x8-k400, r2plus1d:r34-32x2-k400"),
        (["configs/slowfast.py:x"], "configs/slowfast.py:x: no such variant; there is slowfast:"),
        (["x3d:m"], "x3d:m: no such variant; `jaxaction zoo` lists them all"),
        (["tsn:r50-1x1x3-k400", "--write"], "--write: not allowed with argument NAME"),
        (["--config.data.clip_len=4"], "jaxaction zoo takes no --config.data.clip_len"),
    ],
)
def test_command_names_the_value_that_it_cannot_use(argv, words):
    with pytest.raises(InputError) as caught:
        main(["zoo", *argv])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_unknown_family_lists_the_known_ones():
    with pytest.raises(InputError, match="x3d: no such family; there is tsn, tsm, i3d"):
        shipped.file("x3d")


@pytest.mark.parametrize("name", [*shipped.FAMILIES, *VARIANTS])
def test_copy_equals_the_original_also_after_an_override(tmp_path, name):
    file = tmp_path / "mine.py"
    assert main(["zoo", name, "--copy", str(file)]) == 0
    original, copied = flags.load_config(*flags.split_variant(name)), flags.load_config(str(file))
    assert copied.to_dict() == original.to_dict()
    for key, value in OVERRIDES.items():
        for config in (original, copied):
            flags.apply_overrides(config, {key: value})
        assert copied.to_dict() == original.to_dict(), key


# All keys that other keys follow, and two that follow: test.clip_len and optim.decay_epochs.
OVERRIDES = {"data.clip_len": "24", "data.short_side": "301", "data.size": "96,96"}
OVERRIDES |= {"data.sampling": "uniform", "data.frame_interval": "7", "data.stack": "3"}
OVERRIDES |= {"data.modality": "flow", "data.past_end": "repeat_last", "data.target_fps": "12.5"}
OVERRIDES |= {"train.epochs": "77", "test.clip_len": "40", "optim.decay_epochs": "5"}


def test_these_overrides_have_all_keys_that_others_follow():
    followed = {key for config in CONFIGS.values() for key in followers(config).values()}
    assert followed < OVERRIDES.keys()


def test_copy_names_its_origin_and_the_command_that_trains_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["zoo", "tsm:r50-1x1x8-k400", "--copy", "mine.py"])
    text = Path("mine.py").read_text()
    assert text.startswith('r"""A copy of tsm:r50-1x1x8-k400, ')
    assert "jaxaction train --config mine.py --workdir DIR" in text
    assert '"num_segments": data.get_oneway_ref("clip_len"),' in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["tsm", "--copy", "there.py"], "--copy there.py: it exists already; name another file"),
        (["tsm", "--copy", "mine"], "--copy mine: a config's file name ends in .py; write --copy"),
        (["tsm", "--copy", "no/mine.py"], "--copy no/mine.py can't be written (No such file"),
        (["--copy", "mine.py"], "--copy mine.py: the config's name is missing; write NAME --copy"),
        (["tsm:r50", "--copy", "mine.py"], "tsm:r50: no such variant; there is tsm:r50-1x1x8"),
    ],
)
def test_copy_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, argv, words):
    monkeypatch.chdir(tmp_path)
    Path("there.py").write_text("# mine")
    with pytest.raises(InputError) as caught:
        main(["zoo", *argv])
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert Path("there.py").read_text() == "# mine" and not Path("mine.py").exists()
