"""Writes more.pth, whole_model.pth and torchscript.pth beside it: what the other files lack.

    python tests/parity/pth/make_more.py

needs PyTorch 2.13; no test does.
"""

import argparse
import collections
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent


def main():
    import torch

    row = torch.arange(3.0)
    with_attribute = torch.ones(2)
    with_attribute.note = "hello"
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "hello"
    tensors = {
        "expanded": row.expand(2, 3),
        "every_second": torch.arange(10)[1::2],
        "complex": torch.tensor([1 + 2j]),
        "uint16": torch.from_numpy(np.array([1, 65535], np.uint16)),
        "buffer": torch.nn.Buffer(row),
        "with_attribute": with_attribute,
        "parameter": parameter,
        "storage": torch.ones(1).untyped_storage(),
        "half_storage": torch.ones(2).half().storage(),
        "float8": row.to(torch.float8_e5m2),
        "sparse": row.to_sparse(),
        "conjugate": torch.tensor([1j]).conj(),
    }
    others = {
        "shape": torch.Size([2, 3]),
        "device": torch.device("cuda:1"),
        "dtype": torch.bfloat16,
        "default": collections.defaultdict(list, {1: [2]}),
        "counter": collections.Counter("aab"),
        "set": {1, (2, 3)},
        "frozen": frozenset([3]),
        "bytes": b"abc",
        "no_bytes": b"",
        "imaginary": 1j,
        "by_columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "no_rows": np.zeros((0, 3)),
        "objects": np.array([{}, None]),
        "string": np.str_("a"),
        "options": argparse.Namespace(rate=0.1),
        "tuple_key": {(1, (2, 3)): 4},
    }
    torch.save(tensors | others, FOLDER / "more.pth")
    torch.save(torch.nn.Linear(1, 1), FOLDER / "whole_model.pth")
    torch.jit.script(torch.nn.Identity()).save(str(FOLDER / "torchscript.pth"))


if __name__ == "__main__":
    main()
