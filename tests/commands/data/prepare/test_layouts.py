"""Which videos, labels and splits `jaxaction data prepare` finds in the data sets that it knows."""

import pytest

from jaxaction.data.labels import KINETICS_400
from jaxaction.data.tfds_sources import tfds_source
from jaxaction.errors import InputError
from tests.commands.data.prepare.preparing import clip, contents, run, write

HEADER = "label,youtube_id,time_start,time_end,split\n"


def entries(out, name="kinetics/400", split="train"):
    return [(id, label) for id, label, _ in contents(name, split, out)]


def test_kinetics_lists_say_the_label_and_the_files_may_lie_anywhere(tmp_path):
    root = write(
        tmp_path / "in",
        {
            "train.csv": HEADER
            + "arm wrestling,abcdefghijk,12,22,train\n"
            + "archery,-_cdefghijk,7,17,train\n"
            + "archery,gone_efghij,100000,100010,train\n",
            "annotations/validate.csv": HEADER + '"hurling (sport)",xyz_efghijk,3,13,validate\n',
            "train/some class/abcdefghijk_000012_000022.mp4": 3,
            "flat/-_cdefghijk_000007_000017.mkv": clip(4, "matroska"),
            "flat/not_listed0_000001_000011.mp4": 2,
            "val/xyz_efghijk_000003_000013.webm": clip(5, "webm", "libvpx"),
        },
    )
    report = run("kinetics/400", root, tmp_path)
    assert contents("kinetics/400", "train", tmp_path) == [
        ("abcdefghijk_000012_000022", "arm wrestling", 3),
        ("-_cdefghijk_000007_000017", "archery", 4),
    ]
    assert contents("kinetics/400", "validation", tmp_path) == [
        ("xyz_efghijk_000003_000013", "hurling (sport)", 5)
    ]
    assert report["skipped"] == [
        {
            "split": "train",
            "id": "gone_efghij_100000_100010",
            "reason": "there is no such file",
        }
    ]


def test_among_several_files_the_one_in_the_folder_of_the_split_is_taken_and_mp4_first(tmp_path):
    name = "abcdefghijk_000012_000022"
    root = write(
        tmp_path / "in",
        {
            "val.csv": HEADER + "archery,abcdefghijk,12,22,val\n",
            f"a/{name}.mp4": 1,
            f"val/archery/{name}.webm": clip(2, "webm", "libvpx"),
            f"val/archery/{name}.mp4": 3,
            f"val/archery/.{name}.mp4": b"hidden",
            f"val/archery/{name}.mp4.part": b"half",
        },
    )
    run("kinetics/400", root, tmp_path)
    assert contents("kinetics/400", "validation", tmp_path) == [(name, "archery", 3)]


def test_a_list_without_labels_is_left_out_and_said_to_be(tmp_path, capsys):
    root = write(
        tmp_path / "in",
        {
            "val.csv": HEADER + "archery,abcdefghijk,12,22,val\n",
            "test.csv": "youtube_id,time_start,time_end,split\nabcdefghijk,1,11,test\n",
            "abcdefghijk_000012_000022.mp4": 2,
        },
    )
    report = run("kinetics/400", root, tmp_path)
    assert list(report["splits"]) == ["validation"]
    assert "test.csv: left out without a label: 1" in capsys.readouterr().err


def test_a_part_of_kinetics_400_keeps_its_numbers(tmp_path):
    root = write(tmp_path / "in", {"val/shooting_goal_-soccer-/a.mp4": 1, "val/zumba/b.mp4": 1})
    run("kinetics/400", root, tmp_path)
    source = tfds_source("kinetics/400", "validation", tmp_path)
    names = KINETICS_400.read_text().splitlines()
    assert source.label_names == tuple(names)
    assert [source[i].label for i in range(2)] == [names.index("shooting goal (soccer)"), 399]


def test_folders_are_known_by_the_names_of_other_projects(tmp_path):
    root = write(tmp_path / "in", {"videos_train/zumba/a.mp4": 1, "val_256/zumba/b.mp4": 1})
    run("kinetics/400", root, tmp_path)
    assert entries(tmp_path) == [("videos_train/zumba/a.mp4", "zumba")]
    assert entries(tmp_path, split="validation") == [("val_256/zumba/b.mp4", "zumba")]


def test_the_classes_of_600_and_700_are_numbered_in_alphabetical_order(tmp_path, capsys):
    files = {f"{split}/{name}/a.mp4": 1 for split in ("train", "val") for name in ("b_c", "a d")}
    run("kinetics/700", write(tmp_path / "in", files), tmp_path)
    assert entries(tmp_path, "kinetics/700") == [
        ("train/a d/a.mp4", "a d"),
        ("train/b_c/a.mp4", "b c"),
    ]
    assert tfds_source("kinetics/700", "train", tmp_path).label_names == ("a d", "b c")
    assert "only 2 of the 700 classes are there" in capsys.readouterr().err


def test_which_kinetics_it_is_is_found_by_all_of_its_classes(tmp_path):
    root = write(tmp_path / "in", {"val/zumba/b.mp4": 1})
    for name in KINETICS_400.read_text().splitlines():
        (root / "val" / name.replace(" ", "_")).mkdir(exist_ok=True)
    assert run("kinetics", root, tmp_path)["name"] == "kinetics/400"


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("kinetics", {"val/zumba/b.mp4": 1}, "1 classes don't say which Kinetics this is; name"),
        ("kinetics/400", {"val/archer/b.mp4": 1}, r"'archer' .* \(the nearest is 'archery'\)"),
        ("kinetics/400", {"val/b.mp4": 1}, "no videos of kinetics/400 are listed|holds neither"),
        ("kinetics/400", {"val.csv": "label,id\narchery,x\n"}, "header lacks youtube_id, time_st"),
        (
            "kinetics/400",
            {"val.csv": HEADER + "archery,abcdefghijk,early,22,val\n"},
            "the times 'early', '22' of abcdefghijk are not numbers",
        ),
        (
            "kinetics/400",
            {"val.csv": HEADER + "archery,abcdefghijk,12,22,val\n"},
            "none of the 1 listed videos of kinetics/400 lies below .*abcdefghijk_000012_000022",
        ),
        (
            "kinetics/400",
            {"val/zumba/b.mp4": 1, "validation/zumba/b.mp4": 1},
            "two folders of validation",
        ),
        ("something_something_v2", {"train.json": []}, "holds neither labels.json nor something-"),
        ("something_something_v2", {"labels.json": {"a": "1"}}, "with the numbers from 0 on"),
        ("something_something_v2", {"labels.json": {"a": "0"}}, "no train.json or validation"),
        (
            "something_something_v2",
            {"labels.json": {"a": "0"}, "train.json": [{"id": "1", "template": "[b]"}]},
            "'b' of video 1 is not in labels.json",
        ),
        ("something_something_v2", {"labels.json": "{"}, "labels.json is no JSON"),
        ("hmdb51/2", {"x_test_split1.txt": "a.avi 1\n"}, "no CLASS_test_split2.txt"),
        ("hmdb51", {"x_test_split1.txt": "a.avi 3\n"}, r"split1.txt:1: 'a.avi 3' is not `name.avi"),
        ("video_list", {"all.txt": "a.mp4 0\n"}, "holds no train.txt, val.txt or test.txt"),
        ("video_list", {"train.txt": "a.mp4 0\n"}, "none of the 1 videos in .*train.txt exists"),
    ],
)
def test_a_folder_of_another_data_set_ends_in_one_line(tmp_path, name, files, message):
    root = write(tmp_path / "in", files)
    with pytest.raises(InputError, match=message) as raised:
        run(name, root, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("prefix", ["", "labels/", "something-something-v2-"])
def test_something_something_takes_its_labels_from_the_templates(tmp_path, prefix):
    labels = {"Moving something up": "1", "Holding something": "0"}
    train = [
        {"id": "74225", "label": "moving a cup up", "template": "Moving [something] up"},
        {"id": "9", "label": "holding a pen", "template": "Holding [something]"},
        {"id": "404", "label": "holding a pen", "template": "Holding [something]"},
    ]
    root = write(
        tmp_path / "in",
        {
            f"{prefix}labels.json": labels,
            f"{prefix}train.json": train,
            f"{prefix}validation.json": train[:1],
            f"{prefix}test.json": [{"id": "9"}],
            "20bn-something-something-v2/74225.webm": clip(3, "webm", "libvpx"),
            "20bn-something-something-v2/9.mp4": 4,
        },
    )
    report = run("something_something_v2", root, tmp_path)
    assert contents("something_something_v2", "train", tmp_path) == [
        ("74225", "Moving something up", 3),
        ("9", "Holding something", 4),
    ]
    assert entries(tmp_path, "something_something_v2", "validation") == [
        ("74225", "Moving something up")
    ]
    assert report["notes"] == [
        f"{prefix.removeprefix('labels/')}test.json gives no labels; test is left out"
    ]
    source = tfds_source("something_something_v2", "train", tmp_path)
    assert source.label_names == ("Holding something", "Moving something up")


def test_something_something_s_test_videos_count_with_their_answers(tmp_path):
    root = write(
        tmp_path / "in",
        {
            "labels.json": {"Holding something": "0"},
            "test.json": [{"id": "9"}],
            "test-answers.csv": "9;Holding something\n",
            "9.webm": clip(3, "webm", "libvpx"),
        },
    )
    run("something_something_v2", root, tmp_path)
    assert entries(tmp_path, "something_something_v2", "test") == [("9", "Holding something")]


@pytest.fixture
def hmdb51(tmp_path):
    lines = "first (1).avi 1 \nsecond#2.avi 2 \nunused.avi 0 \n\n"
    third_split = lines.replace(" 1", " 9").replace(" 2", " 1").replace(" 9", " 2")
    files = {
        f"org/{name}/{video}": clip(3 + i, "avi", "mpeg4")
        for name in ("wave", "kick_ball")
        for i, video in enumerate(("first (1).avi", "second#2.avi", "unused.avi"))
    }
    for name in ("wave", "kick_ball"):
        files[f"testTrainMulti_7030_splits/{name}_test_split1.txt"] = lines
        files[f"testTrainMulti_7030_splits/{name}_test_split3.txt"] = third_split
    return write(tmp_path / "in", files)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("hmdb51", "first (1)", "second#2"), ("hmdb51/3", "second#2", "first (1)")],
)
def test_hmdb51_takes_its_splits_from_the_lists(tmp_path, hmdb51, name, train, test):
    run(name, hmdb51, tmp_path)
    full_name = name if "/" in name else f"{name}/1"
    for split, video in (("train", train), ("test", test)):
        assert entries(tmp_path, full_name, split) == [
            (f"kick_ball/{video}.avi", "kick_ball"),
            (f"wave/{video}.avi", "wave"),
        ]


def test_a_list_of_one_s_own_has_its_labels_and_splits(tmp_path):
    root = write(
        tmp_path / "in",
        {
            "train.txt": "a b.mp4 1\nclips/c.mp4 0\nmissing.mp4 1\n",
            "val.csv": "path,label\nclips/c.mp4,nod\n",
            "labels.txt": "wave\nnod\n",
            "a b.mp4": 3,
            "clips/c.mp4": 4,
        },
    )
    report = run("video_list", root, tmp_path)
    assert contents("video_list", "train", tmp_path) == [
        ("a b.mp4", "nod", 3),
        ("clips/c.mp4", "wave", 4),
    ]
    assert contents("video_list", "validation", tmp_path) == [("clips/c.mp4", "nod", 4)]
    assert [each["id"] for each in report["skipped"]] == ["missing.mp4"]


def test_a_list_may_give_several_labels(tmp_path):
    files = {"train.txt": "a.mp4 2 0\nb.mp4 1\n", "a.mp4": 3, "b.mp4": 4}
    report = run("video_list", write(tmp_path / "in", files), tmp_path, "--multi-label")
    source = tfds_source("video_list", "train", tmp_path)
    assert source.multi_label
    assert [source[i].label for i in range(2)] == [(2, 0), (1,)]
    assert source.label_names == ("0", "1", "2")
    assert report["splits"]["train"]["classes"] == {"0": 1, "1": 1, "2": 1}


def test_several_labels_without_the_flag_are_refused(tmp_path):
    files = {"train.txt": "a.mp4 1 0\nb.mp4 2\n", "a.mp4": 3, "b.mp4": 3}
    root = write(tmp_path / "in", files)
    with pytest.raises(InputError, match="train.txt:1 ends in several numbers; set --multi-label"):
        run("video_list", root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folders_of_frames_are_refused_with_the_way_out(tmp_path):
    root = write(tmp_path / "in", {"train.txt": "a 1 0\n", "a/img_00001.jpg": b"picture"})
    with pytest.raises(InputError, match="a is a folder of frames; .* takes video files"):
        run("video_list", root, tmp_path)


def test_links_to_folders_are_followed_even_in_a_circle(tmp_path):
    root = write(tmp_path / "in", {"val.csv": HEADER + "archery,abcdefghijk,12,22,val\n"})
    elsewhere = write(tmp_path / "disk", {"abcdefghijk_000012_000022.mp4": 3})
    (root / "val").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    run("kinetics/400", root, tmp_path)
    assert len(contents("kinetics/400", "validation", tmp_path)) == 1
