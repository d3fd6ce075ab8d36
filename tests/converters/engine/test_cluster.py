"""The same plan on Ray: two machines (of this one), and one of them lost on the way."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from conversions import Bench, Pages
from validated import validated

from phi3v_data.converters.engine.run import convert
from phi3v_data.schema.dataset import open_dataset
from phi3v_data.schema.errors import ConversionStopped
from phi3v_data.schema.progress import Progress
from phi3v_data.schema.rules import validate
from phi3v_data.schema.rules.examples import Drawing, Example, line
from phi3v_data.schema.rules.registry import codes_for
from phi3v_data.schema.rules.settings import Settings

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    cluster.shutdown()


def test_a_cluster_gives_the_bytes_that_local_workers_give(bench: Bench, cluster: Cluster) -> None:
    bench.write({"train": 14, "val": 3}, {"train/0002": "damaged", "val/0001": "die"})
    bench.convert("ray", engine="ray", workers=None)
    bench.convert("local")
    ours, theirs = bench.files("ray"), bench.files("local")
    found = [bench.quarantine(out)[1] for out in ("ray", "local")]
    assert [t["exception"] for t in found] == ["WorkerExited", "WorkerExited"]
    assert ours == theirs


def test_shared_images_come_to_the_same_bytes_on_a_cluster(pages: Pages, cluster: Cluster) -> None:
    pages.typical()
    pages.bench.convert("ray", engine="ray", workers=None)
    pages.bench.convert("local")
    assert pages.bench.files("ray") == pages.bench.files("local")


def test_a_validation_on_the_cluster_finds_what_one_process_finds(tmp_path: Path, cluster: Cluster) -> None:
    records = [line(str(number), images=[f"{number}.jpg"]) for number in range(12)]
    images = {f"images/{number}.jpg": Drawing(seed=number, cut=100 * (number == 7)) for number in range(11)}
    Example({"x_train.jsonl": "\n".join([*records, "no record"]) + "\n", **images}).write(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(validate._TASK, "pixels", 200)
        on_cluster = validated(tmp_path, level="pixels", engine="ray", workers=2)[0]
    shutil.rmtree(tmp_path / ".index")
    here = validated(tmp_path, level="pixels")[0]
    assert on_cluster == here
    assert {each.rule for each in here} == {"F206", "P301", "R103"}


@pytest.mark.soak
@pytest.mark.parametrize("lost", ["process", "machine"])
def test_a_validation_that_loses_a_worker_finds_what_one_process_finds(
    tmp_path: Path, cluster: Cluster, lost: str
) -> None:
    """All processors of the cluster have workers; what is lost has some of them, and the others take their tasks."""
    records = [line(str(number), images=[f"{number % 9}.jpg"]) for number in range(60)]
    images = {f"images/{number}.jpg": Drawing(seed=number, cut=100 * (number == 7)) for number in range(9)}
    Example({"x_train.jsonl": "\n".join([*records, "no record"]) + "\n", **images}).write(tmp_path)
    node = cluster.add_node(num_cpus=2) if lost == "machine" else None
    cluster.wait_for_nodes()
    taken: list[int] = []

    def lose(what: str, unit: str, done: int, total: int) -> None:
        if done and not taken:
            taken.append(done)
            if node is not None:
                cluster.remove_node(node, allow_graceful=False)
            else:
                _ray_process("ray::_RemoteWorker", psutil.process_iter()).kill()

    settings = Settings("pixels", codes_for("pixels"), engine="ray", keep_facts=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(validate._TASK, "pixels", 200)
        validation = validate.Validation([(str(tmp_path), open_dataset(str(tmp_path)))], settings, lose)
        on_cluster = list(validation.findings())
        here = validated(tmp_path, level="pixels")[0]
    assert taken
    assert on_cluster == here


def after_ten_items(action: Callable[[], object]) -> Progress:
    """Progress that does something when some items are done."""

    def show(what: str, unit: str, done: int, total: int) -> None:
        if what == "Converting" and done == 9:
            action()

    return show


@pytest.mark.soak
def test_a_machine_lost_on_the_way_changes_nothing(bench: Bench, cluster: Cluster) -> None:
    bench.write({"train": 60}, {"train/0007": "bug"})
    lost = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    lose = partial(cluster.remove_node, lost, allow_graceful=False)
    convert(bench.request("ray", engine="ray", workers=4), after_ten_items(lose))
    assert lost not in cluster.list_all_nodes()
    bench.convert("local")
    assert bench.files("ray") == bench.files("local")


def _ray_process(title: str, among: Iterable[psutil.Process]) -> psutil.Process:
    for process in among:
        with contextlib.suppress(psutil.Error):
            if title in " ".join(process.cmdline()[:1]):
                return process
    raise AssertionError(f"no process {title}")


@pytest.mark.soak
def test_a_worker_process_killed_on_the_way_changes_nothing_and_is_logged(bench: Bench, cluster: Cluster) -> None:
    bench.write({"train": 60})
    logged: list[str] = []
    kill = after_ten_items(lambda: _ray_process("ray::_RemoteWorker", psutil.process_iter()).kill())
    convert(bench.request("ray", engine="ray", workers=None), kill, logged.append)
    (line,) = logged
    assert line.startswith("a worker on the cluster exited (")
    bench.convert("local")
    assert bench.files("ray") == bench.files("local")


@pytest.mark.soak
@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("gcs_server", "the control service of the Ray cluster"),
        ("ray::DashboardAgent", "no machine of the Ray cluster"),
    ],
)
def test_a_cluster_that_loses_what_it_needs_ends_the_run_with_one_line(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, title: str, said: str
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    bench.write({"train": 40}, {"train/0030": "linger"})
    command = bench.line("out", "--engine", "ray")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        journal = bench.root / "out/.convert/journal/000000.jsonl"
        while not (journal.exists() and journal.stat().st_size) and process.poll() is None:
            time.sleep(0.1)
        _ray_process(title, psutil.Process(process.pid).children(recursive=True)).kill()
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith(f"phi3v-data: {said}")
    assert errors.splitlines()[-1].endswith("restart the cluster and rerun: progress is kept")
    bench.write_item("train/0030")
    bench.convert()
    bench.convert("whole")
    assert bench.files() == bench.files("whole")


def test_a_run_on_a_cluster_resumes_where_local_workers_stopped(bench: Bench, cluster: Cluster) -> None:
    bench.write({"train": 8}, {"train/0005": "no space"})
    with pytest.raises(ConversionStopped):
        bench.convert()
    bench.write_item("train/0005")
    bench.convert(engine="ray")
    bench.convert("local")
    assert bench.files() == bench.files("local")


def test_a_cluster_that_cannot_be_reached_is_one_clear_line(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write({"train": 1})
    monkeypatch.setenv("RAY_ADDRESS", "nonsense://127.0.0.1:1")
    with pytest.raises(ConversionStopped, match=r"no Ray cluster can be reached: .*; check RAY_ADDRESS"):
        bench.convert(engine="ray")
