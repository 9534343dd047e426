"""Video action recognition in JAX and Flax: TSN, TSM, I3D, R(2+1)D, SlowOnly and SlowFast."""

from jaxaction.models import MODELS, build, init
from jaxaction.models.fold import fold_batch_norm
from jaxaction.runtime import xla_options
from jaxaction.version import VERSION as __version__

__all__ = ["MODELS", "__version__", "build", "fold_batch_norm", "init", "xla_options"]
