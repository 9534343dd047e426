"""Shared settings of the recipes, which configs of your own can import from here."""

from jaxaction.config.defaults import TRAINING, motions  # noqa: F401
from jaxaction.config.recipes import *  # noqa: F403
