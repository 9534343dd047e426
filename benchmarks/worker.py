"""One network of one side in a process of its own, which takes steps when it is told to.

    python -m benchmarks.worker SIDE FAMILY MODE BATCH SIZE DTYPE

Every line on stdin is a number of steps to take; every line on stdout is JSON: first the versions,
when the first step is done; then what the side knows to measure steps by; then the seconds of each
step and the peak memory. The last is {"reason": ..., "details": ...} where it can't go on.
"""

import json
import resource
import sys
import time
import traceback

from benchmarks.families import NoSuchNetwork

WARM_UP = 2


def main(argv: list[str]) -> int:
    """Serves steps until stdin ends; the exit code is 1 after a crash, whose traceback is shown."""
    try:
        serve(*argv)
    except ModuleNotFoundError as error:
        say({"reason": "not installed", "details": str(error)})
    except NoSuchNetwork as error:
        say({"reason": "no such network", "details": str(error)})
    except Exception as error:
        traceback.print_exc()
        first = str(error).partition("\n")[0]
        say({"reason": "crashed", "details": f"{type(error).__name__}: {first}"})
        return 1
    return 0


def serve(side: str, family: str, mode: str, batch: str, size: str, dtype: str) -> None:
    setting = {"family": family, "mode": mode, "batch": int(batch), "size": int(size)}
    setting |= {"dtype": dtype}
    if side == "jaxaction":
        from benchmarks import ours as network

        versions, step = network.versions(), network.make_step(**setting)
    else:
        from benchmarks import peers as network

        versions, step = network.versions(side), network.make_step(side, **setting)
    step()
    say({"versions": versions})
    for _ in range(WARM_UP):
        step()
    say(network.yardstick(**setting) if side == "jaxaction" else {})
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
    sys.exit(main(sys.argv[1:]))
