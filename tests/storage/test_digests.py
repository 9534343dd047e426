import json

import pytest

from jaxaction.storage import digests


def folder(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"")
    digests.write(tmp_path)
    return tmp_path


def test_untouched_folder_has_no_problem(tmp_path):
    assert digests.find_damage(folder(tmp_path)) == ""


def test_flipped_bit_is_named(tmp_path):
    (folder(tmp_path) / "deep" / "a").write_bytes(b"abb")
    assert digests.find_damage(tmp_path) == "deep/a is damaged"


def test_lost_file_is_named(tmp_path):
    (folder(tmp_path) / "b").unlink()
    assert digests.find_damage(tmp_path) == "b is missing"


def test_folder_without_digests_was_cut_off(tmp_path):
    (folder(tmp_path) / digests.NAME).unlink()
    assert digests.find_damage(tmp_path) == digests.CUT_OFF


@pytest.mark.parametrize("content", ['{"b"', "", "{}", "[]"])
def test_damaged_digests_are_named(tmp_path, content):
    (folder(tmp_path) / digests.NAME).write_text(content)
    assert digests.find_damage(tmp_path) == "digests.json is damaged"


def test_a_folder_under_another_name_is_told(tmp_path):
    (tmp_path / "18").mkdir()
    folder(tmp_path / "18")
    (tmp_path / "18").rename(tmp_path / "99")
    assert (
        digests.find_damage(tmp_path / "99")
        == "it is the checkpoint of step 18, under another name"
    )


def test_a_folder_without_a_step_in_its_digests_is_taken_as_in_0_1_0(tmp_path):
    content = json.loads((folder(tmp_path) / digests.NAME).read_text())
    del content["/step"]
    (tmp_path / digests.NAME).write_text(json.dumps(content))
    assert digests.find_damage(tmp_path) == ""


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (folder(tmp_path) / "b").unlink()
    (tmp_path / "b").symlink_to("/proc/self/mem")  # whose first byte even root can't read
    assert digests.find_damage(tmp_path) == "b can't be read (Input/output error)"
