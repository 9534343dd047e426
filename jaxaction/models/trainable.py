"""Which parameters of a network its training leaves as they are."""

from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn
from flax.traverse_util import flatten_dict

from jaxaction.models import abstract_variables
from jaxaction.models.layers import BatchNorm
from jaxaction.models.ops.conv3d import Conv3d


def frozen_parameters(model: nn.Module) -> frozenset[str]:
    """Returns the names, `backbone/conv1/conv/kernel`, of the parameters that get no gradient.

    The layers themselves are asked, so that an optimizer that leaves these out fits the network.
    """
    if not any(map(_freezes, _settings(model))):
        return frozenset()
    frozen = set()

    def watch(call, args, kwargs, context):
        module = context.module
        if isinstance(module, BatchNorm | Conv3d) and module.is_frozen:
            frozen.add(module.path)
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        params = flatten_dict(abstract_variables(model)["params"])
    return frozenset("/".join(path) for path in params if path[:-1] in frozen)


def _settings(model: nn.Module) -> Iterator[Mapping[str, Any]]:
    """The fields of a network, and those of SlowFast's two paths."""
    fields = {name: getattr(model, name) for name in model.__dataclass_fields__}
    yield from (fields, fields.get("slow", {}), fields.get("fast", {}))


def _freezes(fields: Mapping[str, Any]) -> bool:
    return fields.get("frozen_stages", -1) >= 0 or fields.get("partial_bn", False)
