"""A process finds its rank by whatever has started it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from phi3v_data import __version__
from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.launch import check_gpus, first_process_reports, is_launched, rank_environment

SLURM = {
    "SLURM_NTASKS": "16",
    "SLURM_PROCID": "9",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS_PER_NODE": "8",
    "SLURM_STEP_NODELIST": "gpu[003-004]",
    "SLURM_JOB_ID": "1234567",
}
MPI = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "8",
    "OMPI_COMM_WORLD_LOCAL_RANK": "3",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "8",
    "AZ_BATCH_MASTER_NODE": "10.0.0.4:6000",
    "AZUREML_RUN_ID": "happy_plum_1",
}


def test_under_slurm_a_task_is_a_rank() -> None:
    assert rank_environment(SLURM) == {
        "RANK": "9",
        "WORLD_SIZE": "16",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "8",
        "MASTER_ADDR": "gpu003",
        "MASTER_PORT": str(20_000 + 1234567 % 10_000),
    }


def test_under_mpirun_of_azure_ml_a_process_is_a_rank() -> None:
    found = rank_environment(MPI)
    assert (found["RANK"], found["WORLD_SIZE"], found["LOCAL_RANK"]) == ("3", "8", "3")
    assert found["MASTER_ADDR"] == "10.0.0.4"
    assert rank_environment({**MPI, "OMPI_COMM_WORLD_RANK": "4"})["MASTER_PORT"] == found["MASTER_PORT"]


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("gpu[003-005,009],head", "gpu003"), ("gpu[7,9]", "gpu7"), ("a-1,a-2", "a-1"), ("alone", "alone")],
)
def test_the_first_of_slurms_nodes_is_found(nodes: str, first: str) -> None:
    assert rank_environment({**SLURM, "SLURM_STEP_NODELIST": nodes})["MASTER_ADDR"] == first


def test_what_the_user_sets_is_kept() -> None:
    found = rank_environment({**SLURM, "MASTER_ADDR": "head", "MASTER_PORT": "1"})
    assert (found["MASTER_ADDR"], found["MASTER_PORT"]) == ("head", "1")


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WORLD_SIZE": "2", "RANK": "0", **SLURM},  # torchrun inside a Slurm job
        {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"},
        {"SLURM_NTASKS": "4"},  # the batch script itself, not a task of srun
        {"OMPI_COMM_WORLD_SIZE": "1"},
    ],
)
def test_nothing_is_added_where_the_ranks_are_set_or_there_is_one_process(environ: dict[str, str]) -> None:
    assert rank_environment(environ) == {}
    assert is_launched(environ) is ("WORLD_SIZE" in environ)


@pytest.mark.parametrize("environ", [SLURM, MPI])
def test_a_launcher_that_names_no_first_node_is_refused_in_one_line(environ: dict[str, str]) -> None:
    silent = {name: value for name, value in environ.items() if not name.endswith(("NODELIST", "NODE"))}
    with pytest.raises(UsageError, match="does not name the first node; set MASTER_ADDR"):
        rank_environment(silent)


def test_more_gpus_than_there_are_is_refused_in_one_line() -> None:
    check_gpus(2, 2)
    with pytest.raises(UsageError, match=r"--gpus 4: this machine has only 2; use --gpus 2, or torchrun"):
        check_gpus(4, 2)
    with pytest.raises(UsageError, match=r"--gpus 1: this machine has no GPU that torch can use; leave --gpus out"):
        check_gpus(1, 0)


@pytest.mark.slow
def test_a_launched_command_runs_once_a_process() -> None:
    code = "from phi3v_data.trainer.launch import launch; launch(2, ['--version'])"
    environ = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=True)
    assert done.stdout.splitlines() == [f"phi3v-data, version {__version__}"] * 2


def test_the_first_process_reports_what_all_find_and_each_what_it_alone_finds() -> None:
    assert not first_process_reports({"RANK": "0"}, 2)
    assert not first_process_reports({}, 2)
    assert not first_process_reports({"RANK": "3"}, 1)
    assert not first_process_reports({"RANK": "3"}, 2, timeout=0.0)


def test_a_process_that_waits_for_the_first_is_ended_by_a_signal() -> None:
    program = (
        "import signal, sys, threading, traceback\n"
        "from phi3v_data.cli.signals import raise_on_sigterm\n"
        "from phi3v_data.trainer.launch import first_process_reports\n"
        "raise_on_sigterm()\n"
        "main = threading.main_thread().ident\n"
        "def end():\n"
        "    names = []\n"
        "    while names[:1] + names[-1:] != ['wait', 'first_process_reports']:\n"
        "        stack = traceback.walk_stack(sys._current_frames()[main])\n"
        "        names = [frame.f_code.co_name for frame, _ in stack][:-1]\n"
        "    signal.pthread_kill(main, signal.SIGTERM)\n"
        "threading.Thread(target=end).start()\n"
        "print(first_process_reports({'RANK': '1'}, 2, timeout=60))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
