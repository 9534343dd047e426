import pytest
from ml_collections import ConfigDict

from jaxaction.config import stored
from jaxaction.errors import InputError
from jaxaction.storage import workdir


def config(**train):
    values = {"seed": 0, "keep": 1, "epochs": 2.0, "batch_size": 8} | train
    return ConfigDict({"data": {"size": (4, 4)}, "train": values, "test": {"crops": "ten"}})


def test_a_new_directory_takes_any_config(tmp_path):
    workdir.check(str(tmp_path / "new"), config())


STORED = stored.from_json(stored.to_dict(config()))


def test_the_same_config_goes_on(tmp_path):
    workdir.claim(str(tmp_path), config())
    workdir.check(str(tmp_path), config(), STORED)


def test_another_config_may_take_a_directory_without_a_finished_checkpoint(tmp_path):
    workdir.claim(str(tmp_path), config())
    workdir.check(str(tmp_path), config(seed=1))
    (tmp_path / workdir.NAME).write_text('{"architectures": ["Other"]}')
    with pytest.raises(
        InputError, match="config.json is not the config of a run; give another --workdir"
    ):
        workdir.check(str(tmp_path), config(seed=1))


def test_another_config_is_refused_by_its_first_differing_keys(tmp_path):
    workdir.claim(str(tmp_path), config())
    before = (tmp_path / workdir.NAME).read_bytes()
    other = config(seed=1, batch_size=4)
    with pytest.raises(InputError) as error:
        workdir.check(str(tmp_path), other, STORED)
    assert str(error.value) == (
        f"{tmp_path} contains a run of another config: train.batch_size 8 there, 4 now, "
        "train.seed 0 there, 1 now; give another --workdir"
    )
    assert (tmp_path / workdir.NAME).read_bytes() == before


def test_the_config_of_a_checkpoint_counts_if_there_is_one(tmp_path):
    workdir.claim(str(tmp_path), config())
    (tmp_path / workdir.NAME).write_text("{")
    workdir.check(str(tmp_path), config(), STORED)
    (tmp_path / workdir.NAME).unlink()
    with pytest.raises(InputError, match="train.seed 0 there, 1 now"):
        workdir.check(str(tmp_path), config(seed=1), STORED)


def test_a_key_that_is_missing_there_is_named(tmp_path):
    workdir.claim(str(tmp_path), config())
    with pytest.raises(InputError, match="train.extra None there, 1 now"):
        workdir.check(str(tmp_path), config(extra=1), STORED)


def test_keys_that_alter_neither_parameters_nor_batches_may_change(tmp_path):
    workdir.claim(str(tmp_path), config())
    other = config(keep=3, epochs=5.0)
    other.test.crops = "center"
    workdir.check(str(tmp_path), other, STORED)


def test_the_schedule_can_be_kept_if_the_run_is_made_longer(tmp_path):
    kept = config()
    kept.optim = {"decay_epochs": 2.0}
    kept, longer = stored.from_json(stored.to_dict(kept)), config(epochs=5.0)
    longer.optim = {"decay_epochs": 5.0}
    with pytest.raises(InputError, match="--workdir, or --config.optim.decay_epochs=2.0$"):
        workdir.check(str(tmp_path), longer, kept)
    longer.optim.decay_epochs = 2.0
    workdir.check(str(tmp_path), longer, kept)


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("old")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(
            InputError, match=f"^{path} can't be written .*; give another --workdir$"
        ):
            workdir.claim(str(path), config())
    assert (tmp_path / "file").read_text() == "old"


def test_a_damaged_config_is_named(tmp_path):
    (tmp_path / workdir.NAME).write_text("{")
    with pytest.raises(InputError, match="config.json can't be read .*; give another --workdir"):
        workdir.check(str(tmp_path), config())


def test_if_keys_differ_a_run_of_a_newer_version_is_named_as_such(tmp_path):
    values = stored.to_json(config(), str(tmp_path))
    values[stored.ORIGIN]["version"] = "99.0.0"
    kept = stored.from_json(values)
    workdir.check(str(tmp_path), config(), kept)
    with pytest.raises(InputError, match="0 there, 1 now .version 99.0.0 wrote it, this is"):
        workdir.check(str(tmp_path), config(seed=1), kept)


def test_a_key_that_an_earlier_version_lacked_has_its_default(tmp_path):
    kept = stored.from_json(stored.to_dict(config()))
    now = config()
    now.train.ema_decay = 0.0
    workdir.check(str(tmp_path), now, kept)
    now.train.ema_decay = 0.9
    with pytest.raises(InputError, match="train.ema_decay 0.0 there, 0.9 now"):
        workdir.check(str(tmp_path), now, kept)
