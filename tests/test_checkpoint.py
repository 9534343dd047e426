import copy
import shutil

import grain
import grain.checkpoint
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

import jaxaction
from jaxaction import checkpoint, digests, from_config, sharding, train_state
from jaxaction.checkpoint import Checkpoints
from jaxaction.data import Protocol
from jaxaction.errors import InputError
from tests import tiny_run

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_run.config(tmp_path_factory.mktemp("unused"))


@pytest.fixture(scope="module")
def state(config):
    model, (optimizer, _) = from_config.model(config), from_config.optimizer(config, 3)

    def create():
        variables = jaxaction.init(model, from_config.clip_shape(config), jax.random.key(0))
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


def test_a_save_that_was_cut_off_is_passed_over(run):
    (run / "checkpoints" / "4" / digests.NAME).unlink()
    shutil.rmtree(run / "checkpoints" / "4" / "variables")
    assert checkpoint.load_run(str(run)).step == 2


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
