"""One network of one side in a process of its own, which takes steps when it is told to.

    python -m benchmarks.worker SIDE FAMILY MODE BATCH SIZE DTYPE

Every line on stdin is a number of steps to take; every line on stdout is JSON: first the versions,
when the first step is done, or {"missing": why}; then what the side knows to measure steps by; then
the seconds of each step and the peak memory.
"""

import json
import resource
import sys
import time

WARM_UP = 2


def main(argv: list[str]) -> None:
    side, family, mode, batch, size, dtype = argv
    try:
        if side == "jaxaction":
            from benchmarks import ours as network

            versions = network.versions()
            step = network.make_step(family, mode, int(batch), int(size), dtype)
        else:
            from benchmarks import peers as network

            versions = network.versions(side)
            step = network.make_step(side, family, mode, int(batch), int(size), dtype)
    except ImportError as error:
        return say({"missing": f"{side} is not installed ({error})"})
    except KeyError:
        return say({"missing": f"{side} has no {family}"})
    step()
    say({"versions": versions})
    for _ in range(WARM_UP):
        step()
    ours = side == "jaxaction"
    say(network.yardstick(family, mode, int(batch), int(size), dtype) if ours else {})
    for line in sys.stdin:
        seconds = [timed(step) for _ in range(int(line))]
        say({"seconds": seconds, "peak_bytes": network.peak_bytes() or peak_resident_bytes()})


def timed(step) -> float:
    begin = time.perf_counter()
    step()
    return time.perf_counter() - begin


def peak_resident_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def say(message: dict) -> None:
    print(json.dumps(message), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
