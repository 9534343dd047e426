"""Late fusion: matching of videos, accuracies of the mean, and results that don't match."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxaction import data
from jaxaction.commands import cli, fuse
from jaxaction.errors import InputError
from jaxaction.evaluation import results
from jaxaction.evaluation.evaluate import Evaluation

NAMES = ("walk", "run", "sit")
PROTOCOL = data.Protocol("clips", 8, 8, 1, 256, "center", (256, 256), "prob")
RGB = {"a.mp4": (0, [0.7, 0.2, 0.1]), "b.mp4": (1, [0.6, 0.3, 0.1]), "c.mp4": (2, [0.1, 0.5, 0.4])}
FLOW = {"c.mp4": (2, [0.2, 0.1, 0.7]), "a.mp4": (0, [0.3, 0.5, 0.2]), "b.mp4": (1, [0.1, 0.8, 0.1])}


def write_run(folder: Path, videos: dict, names=NAMES, unreadable=()) -> str:
    """Writes a run's `eval/test.npz` in the way of `eval.py`; scores are log probabilities."""
    probs = np.array([row for _, row in videos.values()], np.float32)
    labels = np.array([label for label, _ in videos.values()], np.int32)
    fields = {"protocol": PROTOCOL, "ids": tuple(videos), "labels": labels, "scores": np.log(probs)}
    evaluation = Evaluation(**fields, probs=probs, unreadable=tuple(unreadable))
    results.write(str(folder), "test", evaluation, names, {})
    return str(folder)


def write(path: Path, evaluation: Evaluation) -> None:
    results.write_npz(path, evaluation, ())


@pytest.fixture
def runs(tmp_path):
    return [write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", FLOW)]


def run(*argv: str) -> int:
    """Runs the command in the way of `jaxaction fuse`."""
    parser = cli._Parser()
    fuse.add_arguments(parser)
    return fuse.main(parser.parse_args(list(argv)))


def refused(*argv: str) -> str:
    with pytest.raises(InputError) as error:
        run(*argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_videos_in_another_order_are_matched_by_their_ids(runs, capsys):
    assert run(*runs) == 0
    rgb, flow, protocol, mean, last = capsys.readouterr().out.splitlines()
    alone = "test top-1 33.3 %, top-5 100.0 % (3 videos), test mean class accuracy 33.3 %"
    assert rgb == f"{runs[0]}, weight 1: {alone}"
    assert flow.startswith(f"{runs[1]}, weight 1: test top-1 66.7 %")
    assert protocol == f"protocol: mean of the probabilities of {runs[0]} x 1, {runs[1]} x 1"
    assert mean == "test mean class accuracy 100.0 %"
    assert last == "test top-1 100.0 %, top-5 100.0 % (3 videos)"


def test_probabilities_are_a_weighted_mean(runs):
    matched, _ = fuse.match_videos([fuse.read(run, "test") for run in runs], common=False)
    fused = fuse.fuse(matched, [1.0, 3.0])
    assert fused.test.ids == ("a.mp4", "b.mp4", "c.mp4")
    np.testing.assert_allclose(fused.test.probs[0], [0.4, 0.425, 0.175], atol=1e-6)  # float32
    np.testing.assert_allclose(fused.test.probs.sum(1), 1, atol=1e-6)


def test_a_weight_of_0_leaves_a_run_out(runs, capsys):
    run(*runs, "--weights", "0", "0.5")
    *_, last = capsys.readouterr().out.splitlines()
    assert last == "test top-1 66.7 %, top-5 100.0 % (3 videos)"


def test_the_result_has_the_keys_of_a_run_and_can_be_fused_again(runs, tmp_path, capsys):
    out = tmp_path / "fused.npz"
    run(*runs, "--out", str(out))
    before = capsys.readouterr().out.splitlines()[-1]
    with np.load(out) as file, np.load(Path(runs[0]) / "eval" / "test.npz") as run_file:
        assert set(file) == set(run_file)
        assert {key: file[key].dtype.kind for key in file} == {
            key: run_file[key].dtype.kind for key in run_file
        }
        assert file["labels"].tolist() == [0, 1, 2] and file["label_names"].tolist() == list(NAMES)
    run(str(out), str(out))
    assert capsys.readouterr().out.splitlines()[-1] == before


def test_nothing_is_overwritten(runs, tmp_path):
    (tmp_path / "mine.npz").write_text("mine")
    assert "the file exists" in refused(*runs, "--out", str(tmp_path / "mine.npz"))
    assert (tmp_path / "mine.npz").read_text() == "mine"


def test_unreadable_videos_of_all_runs_are_stored(tmp_path):
    some = {id: row for id, row in FLOW.items() if id != "b.mp4"}
    runs = [
        write_run(tmp_path / "rgb", RGB),
        write_run(tmp_path / "flow", some, unreadable=["b.mp4"]),
    ]
    run(*runs, "--common", "--out", str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as file:
        assert file["unreadable"].tolist() == ["b.mp4"]
        assert file["ids"].tolist() == ["a.mp4", "c.mp4"]


def test_a_video_that_one_run_lacks_is_named(tmp_path, capsys):
    some = {id: row for id, row in FLOW.items() if id != "b.mp4"}
    rgb, flow = write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", some)
    for order in ((rgb, flow), (flow, rgb)):
        message = refused(*order)
        assert (
            f"1 videos are not in all runs, first b.mp4, which {rgb} has and {flow} has" in message
        )
    run(rgb, flow, "--common")
    lines = capsys.readouterr().out.splitlines()
    assert "left out: 1 videos that not all runs have" in lines
    assert lines[0].startswith(f"{rgb}, weight 1: test top-1 50.0 %, top-5 100.0 % (2 videos)")


def test_frames_in_folders_match_files_of_the_same_name(tmp_path, capsys):
    folders = {id.removesuffix(".mp4"): row for id, row in FLOW.items()}
    run(write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", folders))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "test top-1 100.0 %, top-5 100.0 % (3 videos)"


def test_runs_without_a_common_video_are_refused(tmp_path):
    others = {f"x{id}": row for id, row in FLOW.items()}
    runs = write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", others)
    assert "no video in common: ids are like 'a' there and 'xc' in" in refused(*runs, "--common")


def test_labels_that_differ_name_the_video(tmp_path):
    wrong = FLOW | {"b.mp4": (2, [0.1, 0.8, 0.1])}
    rgb, flow = write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", wrong)
    assert f"1 videos have other labels in {flow} than in {rgb}, first b.mp4: 2 and 1" in refused(
        rgb, flow
    )


def test_names_of_labels_must_agree_where_both_have_them(tmp_path, capsys):
    rgb = write_run(tmp_path / "rgb", RGB)
    numbers = write_run(tmp_path / "numbers", FLOW, ("0", "1", "2"))
    renamed = write_run(tmp_path / "other", FLOW, ("Walk", "sit", "run"))
    run(numbers, rgb, "--out", str(tmp_path / "out.npz"))
    with np.load(tmp_path / "out.npz") as file:
        assert file["label_names"].tolist() == list(NAMES)
    assert f"label 1 is 'run' in {rgb} and 'sit' in {renamed}" in refused(rgb, renamed)


def test_another_number_of_classes_is_refused(tmp_path):
    two = {id: (min(label, 1), row[:2]) for id, (label, row) in FLOW.items()}
    rgb, flow = write_run(tmp_path / "rgb", RGB), write_run(tmp_path / "flow", two, NAMES[:2])
    assert f"{rgb} has 3 classes, {flow} has 2 classes; fuse" in refused(rgb, flow)


def test_a_video_that_is_listed_twice_is_refused(runs, tmp_path):
    result = fuse.read(runs[0], "test")
    write(tmp_path / "twice.npz", result.take([0, 1, 0]).test)
    assert "has a.mp4 twice, in rows 0 and 2" in refused(runs[1], str(tmp_path / "twice.npz"))


def test_several_labels_a_video_give_mean_average_precision(tmp_path, capsys):
    probs = np.array([[0.9, 0.2], [0.4, 0.8], [0.6, 0.7]], np.float32)
    labels = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    for name, shift in (("a", 0.0), ("b", [[0, 0], [0.5, 0], [0, 0]])):
        evaluation = Evaluation("", ("x", "y", "z"), labels, probs + shift, probs + shift, ())
        write(tmp_path / f"{name}.npz", evaluation)
    run(str(tmp_path / "a.npz"), str(tmp_path / "b.npz"))
    first, *_, last = capsys.readouterr().out.splitlines()
    # Class p ranks y third in a (1 and 2/3), and second in the mean.
    assert "a.npz, weight 1: test mAP 91.7 % (3 videos), test mAP over videos" in first
    assert last == "test mAP 100.0 % (3 videos)"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["1"], "--weights gives 1 numbers for 2 runs; give 2"),
        (["-1", "2"], "--weights -1 2: give numbers from 0 on"),
        (["0", "0"], "not all of them 0"),
        (["nan", "1"], "--weights nan 1"),
        (["one", "1"], "invalid float value: 'one'"),
    ],
)
def test_weights_without_a_mean_are_refused(runs, weights, message):
    assert message in refused(*runs, "--weights", *weights)


def test_a_file_that_is_no_result_is_named(runs, tmp_path):
    (tmp_path / "text.npz").write_text("no zip")
    np.savez(tmp_path / "half.npz", ids=np.array(["a"]))
    test = fuse.read(runs[0], "test").test
    write(tmp_path / "short.npz", dataclasses.replace(test, ids=("a.mp4",)))
    assert "text.npz is not a result" in refused(runs[0], str(tmp_path / "text.npz"))
    assert "half.npz is not a result" in refused(runs[0], str(tmp_path / "half.npz"))
    assert "has 3 rows for 1 videos" in refused(runs[0], str(tmp_path / "short.npz"))
    assert "eval/val.npz does not exist" in refused(*runs, "--split", "val")
    assert "can't be fused; give two" in refused(runs[0])
    assert "name it" in refused(*runs, "--out", str(tmp_path / "fused"))


def test_the_split_is_named_as_the_run_wrote_it(runs):
    folder = Path(runs[0]) / "eval"
    (folder / "test.npz").rename(folder / "test_10_.npz")
    assert fuse.read(runs[0], "test[:10%]").test.ids == ("a.mp4", "b.mp4", "c.mp4")
