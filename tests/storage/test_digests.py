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
