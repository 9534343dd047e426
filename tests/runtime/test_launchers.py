"""Who started a process, by the environments that launchers make."""

import importlib.util

import pytest

from jaxaction.errors import InputError
from jaxaction.runtime import launchers

# The first of eight tasks on two nodes, `srun -n 8`.
STEP = {
    "SLURM_JOB_ID": "17",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NODELIST": "node[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
MPI = {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3"}
MPI |= {"OMPI_COMM_WORLD_LOCAL_RANK": "1", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "2"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SLURM_JOB_ID": "17", "SLURM_NTASKS": "8"},  # a shell of salloc, or an sbatch script
        STEP | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},  # salloc's interactive step
        MPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},  # a pod of no Indexed Job, as a notebook's
    ],
)
def test_a_process_that_was_started_alone_waits_for_nobody(environment):
    assert launchers.detect(environment) is None


def test_the_tasks_of_a_slurm_step_join_each_other():
    launched = launchers.detect(STEP)
    assert (launched.name, launched.index) == ("SLURM's 8 tasks", 5)
    assert launched.arguments == {"num_processes": 8, "cluster_detection_method": "slurm"}


def test_a_task_that_is_alone_on_its_node_takes_all_its_devices():
    node = STEP | {"SLURM_STEP_TASKS_PER_NODE": "1(x8)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert launchers.detect(node).arguments["local_device_ids"] == [0, 1, 2, 3]
    shared = STEP | {"CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    assert "local_device_ids" not in launchers.detect(shared).arguments


def test_a_task_that_sees_one_device_takes_that_whatever_its_number():
    bound = STEP | {"CUDA_VISIBLE_DEVICES": "3"}
    assert launchers.detect(bound).arguments["local_device_ids"] == [0]
    told = bound | {"JAX_LOCAL_DEVICE_IDS": "2"}
    assert "local_device_ids" not in launchers.detect(told).arguments


def test_open_mpi_4_tells_where_the_first_process_is():
    launched = launchers.detect(
        MPI | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1:34911"}
    )
    assert (launched.name, launched.index) == ("Open MPI's 4 processes", 3)
    expected = {"num_processes": 4, "process_id": 3, "cluster_detection_method": "ompi"}
    assert launched.arguments == expected


def test_open_mpi_5_has_to_be_told():
    with pytest.raises(InputError, match="-x JAX_COORDINATOR_ADDRESS=HOST:PORT"):
        launchers.detect(MPI)
    launched = launchers.detect(MPI | {"JAX_COORDINATOR_ADDRESS": "node1:1234"})
    assert launched.arguments == {"num_processes": 4, "process_id": 3, "local_device_ids": [1]}


def test_pods_of_an_indexed_job_join_each_other_where_kubernetes_can_be_asked(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert launchers.detect(POD) == ("the Indexed Job's pods", 2, {})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="the package kubernetes, .*, is missing"):
        launchers.detect(POD)
