"""Every model keeps the contract that the rest of the library relies on."""

import inspect

import flax.linen as nn
import jax
import pytest

import jaxaction
from jaxaction.interop import mmaction
from jaxaction.models.base import Recognizer
from jaxaction.models.contract import VideoModel
from tests.models.networks import clip_shape, draw_variables, each_model, tiny

METHODS = {
    name: method
    for name, method in vars(VideoModel).items()
    if inspect.isfunction(method) and method.__module__ == VideoModel.__module__
}


@each_model
def test_model_has_all_that_the_contract_names(name):
    model = jaxaction.build(tiny(name))
    assert isinstance(model, VideoModel)
    assert model.RUN_FIELDS >= Recognizer.RUN_FIELDS


@each_model
@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"init", "apply", "clone"}))
def test_methods_take_the_arguments_of_the_contract(name, method):
    model = jaxaction.MODELS[name]
    ours = inspect.signature(getattr(model, method)).parameters
    assert list(ours) == list(inspect.signature(METHODS[method]).parameters)


def test_another_module_does_not_keep_the_contract():
    assert not isinstance(nn.Dense(3), VideoModel)


@each_model
@pytest.mark.parametrize("fields", ["default", "tiny"])
def test_model_takes_its_own_example_clip(name, fields):
    config = {"name": name, "num_classes": 5} if fields == "default" else tiny(name)
    model = jaxaction.build(config)
    shape = model.example_clip()
    model.check_clip(shape)
    assert (shape[0], len(shape), shape[-1]) == (1, 5, model.in_channels)


@each_model
def test_paths_that_the_head_sees_have_its_channels(name):
    model = jaxaction.build(tiny(name))
    variables = draw_variables(model)
    clip = jax.ShapeDtypeStruct(clip_shape(model), "float32")

    def head_paths(clip):
        return model.head_paths(model.apply(variables, clip, method="features"))

    channels = [path.shape[-1] for path in jax.eval_shape(head_paths, clip)]
    assert sum(channels) == model.out_channels
    assert model.fast_channels in (0, channels[0])


@each_model
def test_nothing_is_frozen_or_computed_again_by_default(name):
    model = jaxaction.build(tiny(name))
    assert not model.freezes_parameters and not model.uses_remat
    assert model.clone(frozen_stages=0).freezes_parameters
    assert model.clone(remat=(0,)).uses_remat


@each_model
def test_weights_go_to_mmaction2_and_come_back(name):
    model = jaxaction.build(tiny(name))
    if model.missing_in_mmaction():
        with pytest.raises(ValueError, match="MMAction2 has no network with model."):
            mmaction.state_dict({}, tiny(name))
        return
    variables = draw_variables(model)
    weights = mmaction.state_dict(variables, tiny(name))
    back = mmaction.convert(weights, tiny(name))
    assert jax.tree.all(jax.tree.map(lambda one, two: (one == two).all(), variables, back))
