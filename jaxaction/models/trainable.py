"""Which parameters of a network training leaves unchanged."""

import flax.linen as nn
from flax.traverse_util import flatten_dict

from jaxaction.models import abstract_variables
from jaxaction.models.contract import VideoModel
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d


def frozen_parameters(model: VideoModel) -> frozenset[str]:
    """Returns the names, `backbone/conv1/conv/kernel`, of the parameters that get no gradient.

    The layers themselves say so, hence an optimizer that leaves these out fits the network.
    """
    if not model.freezes_parameters:  # saves tracing the network
        return frozenset()
    frozen_layers = set()

    def watch(call, args, kwargs, context):
        module = context.module
        if isinstance(module, BatchNorm | Conv3d) and module.is_frozen:
            frozen_layers.add(module.path)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        params = flatten_dict(abstract_variables(model)["params"])
    return frozenset("/".join(path) for path in params if path[:-1] in frozen_layers)
