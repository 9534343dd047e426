"""Finds out from the environment whether SLURM, Open MPI or Kubernetes started this process.

JAX detects them, too. But in a shell inside an allocation it waits for processes that were never
started, and it takes one device a process even if a process was given all devices of a machine.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxaction.errors import InputError


class Launched(NamedTuple):
    name: str  # of all processes together, for messages
    index: int  # of this process
    arguments: dict[str, Any]  # of jax.distributed.initialize


def detect(environment: Mapping[str, str]) -> Launched | None:
    """How this process joins the others that a launcher has started; None if it is alone.

    InputError if there are others that can't be joined.
    """
    for kind in (_slurm, _open_mpi, _kubernetes):
        launched = kind(environment)
        if launched is not None:
            return launched
    return None


def _slurm(environment: Mapping[str, str]) -> Launched | None:
    """The tasks of a SLURM step.

    A shell in an allocation also has the allocation's SLURM_NTASKS, but it is in no step or in one
    with a single task.
    """
    count = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if count == 1 or "SLURM_PROCID" not in environment:
        return None
    # "2(x3),1" are the tasks of four nodes.
    alone = environment.get("SLURM_STEP_TASKS_PER_NODE", "").partition("(")[0] == "1"
    arguments = {"num_processes": count, "cluster_detection_method": "slurm"}
    rank = int(environment["SLURM_PROCID"])
    return Launched(f"SLURM's {count} tasks", rank, arguments | _devices(environment, alone))


def _open_mpi(environment: Mapping[str, str]) -> Launched | None:
    count = int(environment.get("OMPI_COMM_WORLD_SIZE", 1))
    if count == 1:
        return None
    known = {"OMPI_MCA_orte_hnp_uri", "JAX_COORDINATOR_ADDRESS"} & set(environment)
    if not known:  # Open MPI 5 doesn't tell where it was started
        raise InputError(
            f"Open MPI has started {count} processes, but doesn't tell where the first one is; give"
            " mpirun -x JAX_COORDINATOR_ADDRESS=HOST:PORT, that one's host and a free port"
        )
    alone = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    rank = int(environment["OMPI_COMM_WORLD_RANK"])
    arguments = {"num_processes": count, "process_id": rank}
    local = _devices(environment, alone)
    if "OMPI_MCA_orte_hnp_uri" in environment:
        arguments["cluster_detection_method"] = "ompi"
    elif not local and "JAX_LOCAL_DEVICE_IDS" not in environment:
        local = {"local_device_ids": [int(environment["OMPI_COMM_WORLD_LOCAL_RANK"])]}
    return Launched(f"Open MPI's {count} processes", rank, arguments | local)


def _kubernetes(environment: Mapping[str, str]) -> Launched | None:
    """The pods of an Indexed Job; JAX asks Kubernetes how many there are."""
    if not {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= set(environment):
        return None
    if importlib.util.find_spec("kubernetes") is None:
        raise InputError(
            "this is a pod of an Indexed Job, but the package kubernetes, by which JAX finds the"
            " others, is missing; pip install kubernetes, or give --coordinator, --process-id and"
            " --processes (1 for a run of its own)"
        )
    return Launched("the Indexed Job's pods", int(environment["JOB_COMPLETION_INDEX"]), {})


def _devices(environment: Mapping[str, str], alone: bool) -> dict[str, list[int]]:
    """`local_device_ids` where JAX would wrongly choose one device by the process's number.

    A process that is `alone` on its machine takes all its devices. A process that sees a single
    device takes that.
    """
    visible = [name for name in environment.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    if "JAX_LOCAL_DEVICE_IDS" in environment or not visible or not (alone or len(visible) == 1):
        return {}
    return {"local_device_ids": list(range(len(visible)))}
