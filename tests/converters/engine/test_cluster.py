"""The same plan on Ray: two machines (of this one), and one of them lost on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conversions import Bench, Pages

from phi3v_data.converters.engine.progress import Silent
from phi3v_data.converters.engine.run import convert
from phi3v_data.schema.errors import ConversionStopped

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    cluster.shutdown()


def test_a_cluster_gives_the_bytes_that_local_workers_give(bench: Bench, cluster: Any) -> None:
    bench.write({"train": 14, "val": 3}, {"train/0002": "damaged", "val/0001": "die"})
    bench.convert("ray", engine="ray", workers=None)
    bench.convert("local")
    ours, theirs = bench.files("ray"), bench.files("local")
    told = [bench.quarantine(out)[1] for out in ("ray", "local")]
    assert [t["exception"] for t in told] == ["WorkerExited", "WorkerExited"]
    assert ours == theirs


def test_shared_images_come_to_the_same_bytes_on_a_cluster(pages: Pages, cluster: Any) -> None:
    pages.typical()
    pages.bench.convert("ray", engine="ray", workers=None)
    pages.bench.convert("local")
    assert pages.bench.files("ray") == pages.bench.files("local")


class _Losing(Silent):
    """Takes a machine away when some items are done."""

    def __init__(self, cluster: Any, node: Any) -> None:
        self._cluster, self._node, self._left = cluster, node, 10

    def advance(self, *, quarantined: bool) -> None:
        self._left -= 1
        if self._left == 0:
            self._cluster.remove_node(self._node, allow_graceful=False)


def test_a_machine_lost_on_the_way_changes_nothing(bench: Bench, cluster: Any) -> None:
    bench.write({"train": 60}, {"train/0007": "bug"})
    lost = cluster.add_node(num_cpus=2)
    cluster.wait_for_nodes()
    convert(bench.request("ray", engine="ray", workers=4), _Losing(cluster, lost))
    assert lost not in cluster.list_all_nodes()
    bench.convert("local")
    assert bench.files("ray") == bench.files("local")


def test_a_run_on_a_cluster_goes_on_where_local_workers_stopped(bench: Bench, cluster: Any) -> None:
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
