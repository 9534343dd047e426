import copy
import itertools
import shutil
import subprocess

import grain
import grain.checkpoint
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import jaxaction
from jaxaction import train_state
from jaxaction.config import build
from jaxaction.data import Protocol
from jaxaction.errors import InputError
from jaxaction.runtime import sharding
from jaxaction.storage import checkpoint, digests
from jaxaction.storage.checkpoint import Checkpoints
from jaxaction.training import setup
from tests import tiny_run

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_run.config(tmp_path_factory.mktemp("unused"))


@pytest.fixture(scope="module")
def state(config):
    model, (optimizer, _) = build.model(config), setup.build_optimizer(config, 3)

    def create():
        variables = jaxaction.init(model, build.clip_shape(config), jax.random.key(0))
        return train_state.create(variables, optimizer)

    return jax.jit(create, out_shardings=sharding.replicated(sharding.device_mesh()))()


def at(state, step):
    """The state at that step, with its number in every parameter."""
    params = jax.tree.map(lambda p: jnp.full_like(p, step), state.params)
    return state.replace(step=jnp.int32(step), params=params)


@pytest.fixture
def run(tmp_path, config, state):
    """A run with the checkpoints 2 and 4."""
    with Checkpoints(str(tmp_path), config, NAMES, keep=2) as checkpoints:
        for step in (2, 4):
            checkpoints.save(at(state, step), {"bad": [step], "metrics": {}})
    return tmp_path


def damage(run, step):
    """Flips one bit of the largest file, an array's data."""
    files = [p for p in (run / "checkpoints" / str(step)).rglob("*") if p.is_file()]
    path = max((p for p in files if p.name != digests.NAME), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def first_parameter(variables):
    return float(jax.tree.leaves(variables["params"])[0].ravel()[0])


def test_a_run_is_loaded_from_its_directory_alone(run, config, state):
    found = checkpoint.load_run(str(run))
    assert found.step == 4
    assert found.config.to_dict() == config.to_dict()
    assert checkpoint.stored_config(str(run), 4).config.to_dict() == config.to_dict()
    assert found.config.data.size == (16, 16)
    assert found.label_names == NAMES
    assert found.protocol == Protocol("segments", 2, 1, 1, 20, "center", (16, 16), "prob")
    assert jax.tree.structure(found.variables) == jax.tree.structure(state.variables)
    assert first_parameter(found.variables) == 4


def test_the_state_comes_back(run, config, state):
    with Checkpoints(str(run), config, NAMES, keep=2) as checkpoints:
        found, meta = checkpoints.restore(4, sharding.abstract(state, sharding.device_mesh()))
    assert (int(found.step), meta["bad"]) == (4, [4])
    jax.tree.map(np.testing.assert_array_equal, found, at(state, 4))


def test_a_checkpoint_that_holds_an_iterator_as_older_ones_do_comes_back(run, config, state):
    batches = iter(grain.MapDataset.range(7).to_iter_dataset().batch(2))
    with Checkpoints(str(run), config, NAMES, keep=2) as checkpoints:
        checkpoints.save_items(
            6,
            {"bad": [], "metrics": {}},
            variables=ocp.args.StandardSave(at(state, 6).variables),
            optimizer=ocp.args.StandardSave(state.opt_state),
            data=grain.checkpoint.CheckpointSave(batches),
        )
    with Checkpoints(str(run), config, NAMES, keep=2) as checkpoints:
        found, _ = checkpoints.restore(6, sharding.abstract(state, sharding.device_mesh()))
    jax.tree.map(np.testing.assert_array_equal, found, at(state, 6))
    assert checkpoint.load_run(str(run)).step == 6


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_used(run):
    damage(run, 4)
    lines = []
    found = checkpoint.load_run(str(run), lines.append)
    assert (found.step, first_parameter(found.variables)) == (2, 2)
    assert len(lines) == 1
    assert lines[0].startswith(f"checkpoint {run}/checkpoints/4 is not used: ")
    assert lines[0].endswith(" is damaged")


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut in half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: path.write_bytes(flipped(path.read_bytes())),
    "deleted": lambda path: path.unlink(),
}


def test_damage_to_any_file_is_named_and_the_checkpoint_before_used(run):
    newest = run / "checkpoints" / "4"
    files = [path for path in sorted(newest.rglob("*")) if path.is_file()]
    assert {"metadata", "manifest.ocdbt", digests.NAME} <= {path.name for path in files}
    for path, (how, harm) in itertools.product(files, DAMAGES.items()):
        content, lines = path.read_bytes(), []
        harm(path)
        assert checkpoint.newest_good(str(run), lines.append) == 2, (path, how)
        path.write_bytes(content)
        (line,) = lines
        assert line.startswith(f"checkpoint {newest} is not used: ")
        named = str(path.relative_to(newest))
        assert named in line or path.name == digests.NAME  # a wrong digest is another file's
    assert checkpoint.newest_good(str(run), str) == 4


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 700 kB; mounting one takes a superuser, and on some machines more."""
    command = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(tmp_path)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_keeps_the_checkpoints_before_and_room_lets_it_go_on(small_disk, config, state):
    full = f"^checkpoint {small_disk}/checkpoints/4 can't be written .No space left on device.; old"
    ballast = small_disk / "ballast"
    with Checkpoints(str(small_disk), config, NAMES, keep=2) as checkpoints:
        checkpoints.save(at(state, 2), {})
        room = shutil.disk_usage(small_disk).free
        for left in (0, 60_000):
            ballast.write_bytes(bytes(room - left))
            with pytest.raises(InputError, match=full):
                checkpoints.save(at(state, 4), {})
            assert [path.name for path in (small_disk / "checkpoints").iterdir()] == ["2"]
    ballast.unlink()
    with Checkpoints(str(small_disk), config, NAMES, keep=2) as checkpoints:
        checkpoints.save(at(state, 4), {})
    assert checkpoint.load_run(str(small_disk)).step == 4


def test_a_save_that_was_cut_off_is_passed_over(run):
    (run / "checkpoints" / "4" / digests.NAME).unlink()
    shutil.rmtree(run / "checkpoints" / "4" / "variables")
    assert checkpoint.load_run(str(run)).step == 2


def test_other_files_beside_the_checkpoints_are_passed_over(run):
    (run / "checkpoints" / "99").write_text("")
    (run / "checkpoints" / "notes.txt").write_text("")
    (run / "checkpoints" / "007").mkdir()
    shutil.copytree(run / "checkpoints" / "4", run / "checkpoints" / "4_backup")
    assert checkpoint.steps(str(run)) == [2, 4]
    assert checkpoint.load_run(str(run)).step == 4


def test_a_checkpoint_that_was_renamed_is_named_and_the_one_before_used(run):
    (run / "checkpoints" / "4").rename(run / "checkpoints" / "9")
    lines = []
    assert checkpoint.newest_good(str(run), lines.append) == 2
    assert "9 is not used: it is the checkpoint of step 4" in lines[0]


def test_an_empty_directory_of_a_step_is_passed_over(run):
    (run / "checkpoints" / "6").mkdir()
    assert checkpoint.load_run(str(run)).step == 4


def test_restoring_an_older_checkpoint_makes_room_for_newer_ones(run, config, state):
    damage(run, 4)
    with Checkpoints(str(run), config, NAMES, keep=2) as checkpoints:
        twin = sharding.abstract(state, sharding.device_mesh())
        checkpoints.restore(2, twin)
        assert checkpoint.steps(str(run)) == [2]
        checkpoints.save(at(state, 4), {})
    assert checkpoint.load_run(str(run)).step == 4


def test_without_an_undamaged_checkpoint_nothing_is_loaded(run):
    damage(run, 2)
    damage(run, 4)
    with pytest.raises(InputError, match="no checkpoint of .* is undamaged"):
        checkpoint.load_run(str(run), lambda line: None)
    for path in run.glob(f"checkpoints/*/{digests.NAME}"):
        path.unlink()  # one alone would be a first save that was cut off
    with pytest.raises(InputError, match="no checkpoint of .* is undamaged"):
        checkpoint.newest_good(str(run), str)


def test_a_directory_without_checkpoints_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="holds no checkpoint"):
        checkpoint.load_run(str(tmp_path))


def test_only_the_newest_are_kept(run, config, state):
    with Checkpoints(str(run), config, NAMES, keep=2) as checkpoints:
        checkpoints.save(at(state, 6), {})
    assert checkpoint.steps(str(run)) == [4, 6]


def test_variables_alone_make_a_run_but_not_over_another(tmp_path, config, state):
    checkpoint.save_run(str(tmp_path), config, state.variables, NAMES)
    found = checkpoint.load_run(str(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, found.variables, state.variables)
    with pytest.raises(InputError, match="holds a run already"):
        checkpoint.save_run(str(tmp_path), config, state.variables, NAMES)


def averaged(state, value):
    return state.replace(averaged=jax.tree.map(lambda x: jnp.full_like(x, value), state.variables))


def first_statistic(variables):
    return float(jax.tree.leaves(variables["batch_stats"])[0].ravel()[0])


def test_a_run_is_loaded_with_its_averages_and_precise_statistics(tmp_path, config, state):
    precise = {"batch_stats": jax.tree.map(lambda x: jnp.full_like(x, 9), state.batch_stats)}
    with Checkpoints(str(tmp_path), config, NAMES, keep=2) as checkpoints:
        checkpoints.save(averaged(at(state, 2), 7), {})
        lines = []
        found = checkpoint.load_run(str(tmp_path), lines.append).variables
        assert (first_parameter(found), first_statistic(found)) == (7, 7)
        assert lines == []
        checkpoints.save(averaged(at(state, 4), 8), {}, precise)
        found = checkpoint.load_run(str(tmp_path)).variables
        assert (first_parameter(found), first_statistic(found)) == (8, 9)
        checkpoints.save(at(state, 6), {}, precise)
    found = checkpoint.load_run(str(tmp_path)).variables
    assert (first_parameter(found), first_statistic(found)) == (6, 9)


def test_a_run_without_averages_has_no_item_of_them(run):
    items = {path.name for path in (run / "checkpoints" / "4").iterdir() if path.is_dir()}
    assert items == {"variables", "optimizer", "meta"}


def test_a_checkpoint_without_the_precise_statistics_of_its_config_says_so(tmp_path, config, state):
    config = copy.deepcopy(config)
    config.train.precise_bn_clips = 8
    with Checkpoints(str(tmp_path), config, NAMES, keep=2) as checkpoints:
        checkpoints.save(state, {})
    lines = []
    checkpoint.load_run(str(tmp_path), lines.append)
    reason = "has no precise statistics (train.precise_bn_clips); those of training are used"
    assert lines == [f"checkpoint 0 {reason}"]
