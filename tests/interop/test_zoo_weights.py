"""Every variant's weights under MMAction2's own names and shapes, there and back."""

import gzip
import json
import zlib

import numpy as np
import pytest

from jaxaction.config import flags, stored
from jaxaction.interop import mmaction
from tests.figures import FOLDER
from tests.paths import ROOT
from tests.test_configs import RECIPES

# {config: {name: shape}}, what MMAction2 1.2.0 builds from each of its 43 configs.
STATE_KEYS = json.loads(gzip.decompress((FOLDER / "state_keys.json.gz").read_bytes()))


def model_config(name):
    family, _, variant = name.partition(":")
    config = flags.load_config(f"{ROOT}/configs/{family}.py", variant)
    return stored.tuples(config.model.to_dict())


@pytest.mark.parametrize("name", RECIPES)
def test_weights_of_the_variant_convert_there_and_back(name):
    shapes = STATE_KEYS[RECIPES[name].mmaction_name]
    # One number for each whole weight, which takes no memory.
    numbers = {key: np.float32(zlib.crc32(key.encode()) % 2**24) for key in shapes}
    weights = {key: np.broadcast_to(numbers[key], shape) for key, shape in shapes.items()}
    config = model_config(name)
    back = mmaction.state_dict(mmaction.convert(weights, config), config)
    counters = {key for key in back if key.endswith("num_batches_tracked")}
    assert set(back) - counters == set(shapes)
    assert len(counters) == sum(key.endswith("running_var") for key in shapes)
    for key, shape in shapes.items():
        assert back[key].shape == tuple(shape) and (back[key] == numbers[key]).all()
