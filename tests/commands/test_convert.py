"""`jaxaction convert` as a user runs it: it writes a whole directory, or one line and no files."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxaction
from jaxaction.commands.cli import main
from jaxaction.commands.predict import Predictor
from jaxaction.config import build
from jaxaction.data import labels
from jaxaction.errors import InputError
from jaxaction.interop import mmaction
from jaxaction.interop.weights import read_weights, write_weights
from jaxaction.storage import checkpoint
from jaxaction.training import loop
from tests import tiny_run
from tests.figures import FOLDER

MODEL = {"name": "tsn", "depth": 18, "stage_blocks": (1, 1), "width": 4, "num_classes": 3}
CONFIG = """
from pathlib import Path

from tests import tiny_run


def get_config(variant=""):
    return tiny_run.config(Path(__file__).parent)
"""
MMACTION = """
model = dict(
    type='Recognizer2D',
    backbone=dict(type='ResNet', depth=18, num_stages=2, out_indices=(1, ), norm_eval=False),
    cls_head=dict(type='TSNHead', num_classes=3, in_channels=128, dropout_ratio=0.4),
    data_preprocessor=dict(type='ActionDataPreprocessor', mean=[1, 2, 3], std=[4, 5, 6]))
test_pipeline = [
    dict(type='SampleFrames', clip_len=1, frame_interval=1, num_clips=5, test_mode=True),
    dict(type='Resize', scale=(-1, 36)),
    dict(type='TenCrop', crop_size=32)]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with clips, a config of a tiny network, and its weights under MMAction2's names."""
    folder = tmp_path_factory.mktemp("convert")
    tiny_run.write_clips(folder)
    (folder / "tiny.py").write_text(CONFIG)
    (folder / "theirs.py").write_text(MMACTION)
    write_weights(folder / "weights.safetensors", weights(MODEL))
    return folder


def weights(model):
    """Returns random weights of a model, under MMAction2's names."""
    network = jaxaction.build(model)
    variables = jaxaction.init(network, (1, 2, 16, 16, 3), jax.random.key(1))
    return mmaction.state_dict(variables, model)


def run(folder, *argv, source="weights.safetensors"):
    argv = [f"--config={folder}/tiny.py", *argv] if "--to" not in argv else argv
    return main(["convert", str(folder / source), *argv])


def test_a_converted_directory_predicts_and_goes_back_exactly(folder, tmp_path, capsys):
    out, back = str(tmp_path / "out"), tmp_path / "back.safetensors"
    assert run(folder, "--out", out) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("weights.safetensors: MMAction2, 32 weights matched")
    assert (
        lines[1] == f"{out}: tsn, 3 classes, test 2 segments x 1 crop of 16x16 (short side 20),"
        " prob"
    )
    predicted = Predictor(out)(str(folder / "test0.mp4"))
    assert predicted.labels == ("0", "1", "2") and abs(predicted.probs.sum() - 1) < 1e-5
    assert main(["convert", out, "--to", "mmaction", str(back)]) == 0
    theirs, ours = read_weights(folder / "weights.safetensors"), read_weights(back)
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value)


def test_names_of_classes_and_config_values_are_stored(folder, tmp_path):
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    out = str(tmp_path / "out")
    more = ["--labels", str(tmp_path / "names.txt"), "--config.test.num_clips=2"]
    assert run(folder, "--out", out, *more) == 0
    converted = checkpoint.load_run(out)
    assert converted.label_names == ("red", "green", "blue") and converted.protocol.num_clips == 2


@pytest.mark.parametrize("text", ["red\n\nblue", "red\nred\nblue", "red\ngreen"])
def test_names_that_are_empty_repeated_or_too_few_are_refused(folder, tmp_path, text):
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(
        InputError, match="names.txt (has an empty|names 2 classes, the network has 3)"
    ):
        run(folder, "--out", str(tmp_path / "out"), "--labels", str(tmp_path / "names.txt"))
    assert not (tmp_path / "out").exists()


def test_a_file_name_published_for_another_variant_gets_a_warning(folder, tmp_path, capsys):
    name = "tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb_20220906-cd10898e.pth"
    (tmp_path / name).write_bytes((folder / "weights.safetensors").read_bytes())
    assert run(folder, "--out", str(tmp_path / "out"), source=tmp_path / name) == 0
    warning = "warning: a file of this name was published for tsn:r50-1x1x3-k400"
    assert warning in capsys.readouterr().out


def test_a_new_head_is_reported_and_stored(folder, tmp_path, capsys):
    assert run(folder, "--out", str(tmp_path / "out"), "--new-head", "5") == 0
    assert "the classifier is replaced by a fresh one of 5 classes" in capsys.readouterr().out
    assert checkpoint.load_run(str(tmp_path / "out")).config.model.num_classes == 5


def test_a_config_file_of_mmaction_gives_network_and_protocol(folder, tmp_path):
    theirs = {**MODEL, "width": 64, "stage_blocks": (2, 2)}
    write_weights(tmp_path / "wide.safetensors", weights(theirs))
    argv = ["convert", str(tmp_path / "wide.safetensors"), "--out", str(tmp_path / "out")]
    assert main([*argv, "--mmaction-config", str(folder / "theirs.py")]) == 0
    converted = checkpoint.load_run(str(tmp_path / "out"))
    assert str(converted.protocol) == "5 segments x 10 crops of 32x32 (short side 36), score"
    assert converted.config.data.mean == (1.0, 2.0, 3.0)
    assert build.model(converted.config).depth == 18


def test_training_does_not_continue_from_converted_weights(folder, tmp_path):
    assert run(folder, "--out", str(tmp_path / "out")) == 0
    with pytest.raises(InputError, match="without an optimizer's state; .*init_from="):
        loop.train(tiny_run.config(folder), str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["checkpoints"]


def spoil(folder, key, value):
    given = read_weights(folder / "weights.safetensors")
    given[key] = value if value is not None else given[key] * np.nan
    path = folder / "spoilt.safetensors"
    path.unlink(missing_ok=True)
    write_weights(path, given)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.pth", "nothing.pth can't be read"),
        (FOLDER / "pth" / "web_page.pth", "is a web page"),
        (FOLDER / "pth" / "truncated.pth", "truncated.pth is damaged or cut off"),
        (FOLDER / "pth" / "runs_code.pth", "runs_code.pth would run"),
        (FOLDER / "pth" / "mmaction_full.pth", "the weights do not fit the model; 29 missing"),
    ],
)
def test_bad_files_end_in_one_line_and_leave_nothing(folder, tmp_path, source, words):
    with pytest.raises(InputError, match=words) as caught:
        run(folder, "--out", str(tmp_path / "out"), source=source)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("backbone.conv1.bn.bias", None, "not finite: backbone.conv1.bn.bias"),
        ("backbone.conv1.bn.running_var", -np.ones(4), "variances below 0: backbone.conv1.bn"),
        ("cls_head.fc_cls.weight", np.zeros((7, 8)), "for other classes give --new-head N"),
        ("backbone.layer1.0.extra", np.zeros(3), "1 unexpected: backbone.layer1.0.extra"),
    ],
)
def test_bad_weights_end_in_one_line_and_leave_nothing(folder, tmp_path, key, value, words):
    spoil(folder, key, value)
    with pytest.raises(InputError, match=words) as caught:
        run(folder, "--out", str(tmp_path / "out"), source="spoilt.safetensors")
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "give --out DIR and one of --config and --mmaction-config; or give --to"),
        (["--out=x", "--mmaction-config=y.py"], "one of --config and --mmaction-config"),
        (["--out=.", "--new-head=3"], "--out . exists already"),
        (["--out=x", "--new-head=0"], "--new-head 0 is no number of classes"),
        (["--out=x", "--labels=nothing.txt"], "--labels nothing.txt can't be read"),
        (["--out=x", "--config.model.dephts=3"], "did you mean --config.model.depth?"),
    ],
)
def test_bad_command_lines_end_in_one_line(folder, tmp_path, monkeypatch, argv, words):
    monkeypatch.chdir(tmp_path)
    Path("kept").touch()
    with pytest.raises(InputError, match=words.replace("?", r"\?")):
        run(folder, *argv)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_another_project_to_write_for_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="--to torchvision is not known"):
        main(["convert", str(folder), "--to", "torchvision", str(tmp_path / "x.safetensors")])


def test_other_flags_with_to_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="--to takes a run's directory and no other flag"):
        main(["convert", str(folder), "--to", "mmaction", str(tmp_path / "x.pth"), "--out", "y"])


def test_class_names_of_kinetics_come_with_the_package():
    names = labels.kinetics_labels()
    assert len(names) == len(set(names)) == 400
    assert (names[0], names[399]) == ("abseiling", "zumba")


def test_400_classes_are_named_as_in_kinetics_unless_the_head_is_new(folder, tmp_path):
    write_weights(tmp_path / "w.safetensors", weights({**MODEL, "num_classes": 400}))
    for head, names in (([], 400), (["--new-head", "400"], 0)):
        out = str(tmp_path / f"out{names}")
        many = "--config.model.num_classes=400"
        argv = ["convert", str(tmp_path / "w.safetensors"), f"--config={folder}/tiny.py", many]
        assert main([*argv, "--out", out, *head]) == 0
        assert len(checkpoint.load_run(out).label_names) == names


def test_the_config_of_converted_weights_is_stored_as_json(folder, tmp_path):
    assert run(folder, "--out", str(tmp_path / "out")) == 0
    stored = next((tmp_path / "out" / "checkpoints" / "0" / "meta").glob("*"))
    assert json.loads(stored.read_text())["config"]["model"]["name"] == "tsn"
