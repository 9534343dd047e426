"""A look over a pickle's opcodes before they are executed, for what would hurt while they are."""

import pickletools
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxaction.interop.torch_pickle.objects import Unusable

MAX_OPCODES = 1_000_000
MAX_INT_BITS = 2040
MAX_DEPTH = 200
MAX_WORK = 100_000_000
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")
GETS = ("GET", "BINGET", "LONG_BINGET")
HASHED_DEEPLY = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "FROZENSET")


@runtime_checkable
class ByteStream(Protocol):
    """A file, a memory map of one, or bytes in memory."""

    def read(self, size: int = -1, /) -> bytes: ...

    def readline(self) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> object: ...

    def tell(self) -> int: ...


def check_opcodes(file: ByteStream) -> None:
    """Leaves `file` behind the STOP of the pickle that it stands at; builds nothing.

    ValueError or another Exception if the pickle is malformed, or larger or deeper than any
    checkpoint's. Unusable if it has extension opcodes, which call what a registry holds.
    """
    nesting = Nesting()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if count == MAX_OPCODES:
            raise ValueError(f"more than {MAX_OPCODES} opcodes")
        if opcode.name.startswith("EXT"):
            raise Unusable.running(f"the pickle extension {argument}")
        if opcode.name in PUTS and argument > count + 255:  # the memo is an array that long
            raise ValueError(f"memo {argument} after {count} opcodes")
        if isinstance(argument, int) and argument.bit_length() > MAX_INT_BITS:
            raise ValueError(f"an integer of more than {MAX_INT_BITS} bits")
        nesting.step(opcode, argument)


class Nested(NamedTuple):
    """An object: how deep the tuples in it lie, and how many objects a look at all of them meets.

    A look meets an object again wherever it is held again.
    """

    depth: int
    size: int


class Nesting:
    """Follows a pickle's stack and memo, for the tuples that it would make.

    Python hashes tuples by recursion without a limit and forgets the result. A million of them in
    each other as a key of a dict, 1 MB of pickle, end the process; 50 of them, each holding the
    one before twice, never come to an end.
    """

    def __init__(self):
        self._stack: list[Nested | None] = []  # None is a mark
        self._memo: dict[int, Nested] = {}
        self._work = 0

    def step(self, opcode: pickletools.OpcodeInfo, argument: Any) -> None:
        """Follows one opcode; ValueError if tuples are too deep or too often looked at."""
        if opcode.name in PUTS:
            self._memo[argument] = self._stack[-1]
        elif opcode.name == "MEMOIZE":
            self._memo[len(self._memo)] = self._stack[-1]
        elif opcode.name in GETS:
            self._stack.append(self._memo[argument])
        elif opcode.name == "DUP":
            self._stack.append(self._stack[-1])
        elif opcode.name == "MARK":
            self._stack.append(None)
        else:
            self._replace(opcode)

    def _replace(self, opcode):
        popped = self._pop(opcode.stack_before)
        depth = max((item.depth for item in popped), default=0)
        size = max((item.size for item in popped), default=1)
        if opcode.name in HASHED_DEEPLY:
            depth, size = depth + 1, 1 + sum(item.size for item in popped)
        self._work += size
        if depth > MAX_DEPTH or self._work > MAX_WORK:
            raise ValueError("too many tuples in each other")
        self._stack.extend([Nested(depth, size)] * len(opcode.stack_after))

    def _pop(self, wanted):
        popped = []
        count = len(wanted)
        if pickletools.markobject in wanted:
            count = wanted.index(pickletools.markobject)
            while (item := self._stack.pop()) is not None:
                popped.append(item)
        popped += [self._stack.pop() for _ in range(count)]
        return [item for item in popped if item]
