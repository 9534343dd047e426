"""The network on docs/add_a_model.md is a model."""

import re

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict

import jaxaction
from jaxaction.models.contract import VideoModel
from jaxaction.models.trainable import frozen_parameters
from tests.models.networks import draw_variables
from tests.paths import ROOT


def documented_model():
    page = (ROOT / "docs" / "add_a_model.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(code, names)
    return names["Plain"](num_classes=5, **names["Plain"].TINY)


def test_documented_network_keeps_the_contract_and_can_be_folded():
    model = documented_model()
    assert isinstance(model, VideoModel)
    variables = draw_variables(model)
    clip = jnp.ones(model.example_clip())
    logits = model.apply(variables, clip, False)
    folded = jaxaction.fold_batch_norm(model, variables)
    # Three convolutions in float32, whose roundings are 6e-8 of a number.
    np.testing.assert_allclose(folded[0].apply(folded[1], clip, False), logits, rtol=1e-5)


def test_documented_network_has_frozen_stages_and_rematerialisation():
    model = documented_model().clone(frozen_stages=1, remat=(0, 2))
    variables = jax.tree.map(np.asarray, draw_variables(model))
    stage2 = {"backbone/layer2/conv/kernel", "backbone/layer2/bn/scale", "backbone/layer2/bn/bias"}
    head = {"cls_head/fc_cls/kernel", "cls_head/fc_cls/bias"}
    assert set(flatten_dict(variables["params"], sep="/")) - frozen_parameters(model) == (
        stage2 | head
    )
