"""From the pixels that travel to the device, uint8, to what a network takes."""

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8


def normalize(
    clip: UInt8[Array, "... c"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Array, "... c"]:
    """(clip - mean) / std in float32; `mean` and `std` on the scale 0 to 255, one a channel."""
    return (clip.astype(jnp.float32) - jnp.asarray(mean)) / jnp.asarray(std)
