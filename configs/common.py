"""The shared pieces, for configs of your own that import them from here."""

from jaxaction.config.defaults import TRAINING, motions  # noqa: F401
from jaxaction.config.recipes import *  # noqa: F403
