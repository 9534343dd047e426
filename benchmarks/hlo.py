"""Prints the convolutions of the compiled networks that no library computes.

    python -m benchmarks.hlo [--families slowfast,i3d] [--dtype bfloat16] [--batch 8]

On an NVIDIA GPU every convolution, forward and backward, should be a cuDNN call or a matrix product
in the optimised HLO; what is left as `convolution` there is a loop that XLA wrote itself, and makes
the exit code 1. On a CPU what is left goes to Eigen in place of YNNPACK.
"""

import argparse
import re

import jax

from benchmarks import ours
from benchmarks.command_line import Parser, add_network_arguments, at_least
from jaxaction.commands import entry

LIBRARY_CALL = re.compile(
    r'custom_call_target="(__cudnn\$conv[^"]*|__cublas[^"]*)"|"__cudnn\$fusion"'
)


def main(argv: list[str]) -> int:
    args = parse(argv)
    total_left = 0
    for family in args.families:
        for mode in ("inference", "training"):
            text = ours.compile_step(family, mode, args.batch, args.size, args.dtype).as_text()
            convolutions = convolutions_left(text)
            total_left += len(convolutions)
            calls = len(LIBRARY_CALL.findall(text))
            print(f"{family} {mode}: {calls} library calls, {len(convolutions)} convolutions left")
            print("".join(f"    {line}\n" for line in convolutions), end="")
    return 1 if total_left and jax.default_backend() != "cpu" else 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser("hlo", __doc__)
    add_network_arguments(parser, "bfloat16")
    parser.add_argument("--batch", type=at_least(1), default=8, help="clips a step")
    return parser.parse_args(argv)


def convolutions_left(text: str) -> list[str]:
    """The `convolution` instructions of optimised HLO: shape, window and the layer they belong to.

    Those inside a fusion that a library takes over (cuDNN's, YNNPACK's) don't count.
    """
    library_fusions = set(re.findall(r"calls=%([\w.-]+)[^\n]*(?:__cudnn|__ynn_fusion)", text))
    computation, convolutions = "", []
    for line in text.splitlines():
        if header := re.match(r"(?:ENTRY )?%([\w.-]+) \(", line):
            computation = header.group(1)
        if " convolution(" in line and computation not in library_fusions:
            convolutions.append(describe(line))
    return convolutions


def describe(line: str) -> str:
    shape = re.search(r"= (\S+?)[{ ]", line)
    window = re.search(r"window=\{[^}]*\}", line)
    name = re.search(r'op_name="([^"]*)"', line)
    return " ".join(match.group(match.re.groups) for match in (shape, window, name) if match)


if __name__ == "__main__":
    entry.run_main(main)
