"""Video action recognition in JAX and Flax: TSN, TSM, I3D, R(2+1)D, SlowOnly and SlowFast."""

from jaxaction.models import MODELS, build, init

__all__ = ["MODELS", "build", "init"]
