"""Fetching a public copy, from a real HTTP server that speaks the hub's protocol; every client is its own process."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

REPOSITORY, NAME = "datasets/owner/clips", "clips.tar.gz"
DATA = random.Random(0).randbytes(600_000)
# The hub's library writes blocks of 10 MiB; what was received of one is lost with the connection.
BLOCK = 10 << 20

CLIENT = """
import sys
from phi3v_data.converters.base import PublicCopy
from phi3v_data.converters.input.hub import fetch_public_copy
from phi3v_data.schema.errors import HubError
try:
    print(fetch_public_copy(PublicCopy("owner/clips", "clips.tar.gz")))
except HubError as error:
    sys.exit(f"HubError: {error}")
"""


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CLIENT], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def fetched(environment: dict[str, str]) -> Path:
    client = start(environment)
    out, err = client.communicate(timeout=60)
    assert client.returncode == 0, err
    return Path(out.strip())


def refusal(environment: dict[str, str]) -> str:
    client = start(environment)
    out, err = client.communicate(timeout=60)
    assert client.returncode == 1, out
    message = err.strip().splitlines()[-1]
    assert message.startswith("HubError: "), err
    return message


@pytest.fixture
def hub(hub: HubServer) -> HubServer:
    hub.add(REPOSITORY, NAME, DATA)
    return hub


def add_large(hub: HubServer) -> bytes:
    data = random.Random(1).randbytes(BLOCK + 100_000)
    hub.add(REPOSITORY, NAME, data)
    return data


def test_a_file_enters_the_hubs_own_cache_and_is_found_there_offline(hub: HubServer, tmp_path: Path) -> None:
    path = fetched(hub.environment(tmp_path))
    assert path.read_bytes() == DATA
    assert path.is_relative_to(tmp_path / "hub" / "datasets--owner--clips" / "snapshots")
    assert fetched(hub.environment(tmp_path, HF_HUB_OFFLINE="1")) == path
    assert hub.ranges == [None]
    # The hub's own library takes it from there too.
    script = f"import huggingface_hub as h; print(h.hf_hub_download('owner/clips', {NAME!r}, repo_type='dataset'))"
    theirs = subprocess.run(
        [sys.executable, "-c", script], env=hub.environment(tmp_path), text=True, capture_output=True, check=True
    )
    assert theirs.stdout.strip() == str(path)
    assert hub.ranges == [None]


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: HubServer, tmp_path: Path) -> None:
    fetched(hub.environment(tmp_path, HF_TOKEN="hf_secret"))
    assert hub.tokens == {("datasets", "Bearer hf_secret")}


def test_a_connection_closed_half_way_goes_on_from_there(hub: HubServer, tmp_path: Path) -> None:
    data = add_large(hub)
    hub.accidents = [(BLOCK + 1000, "closed")]
    assert fetched(hub.environment(tmp_path)).read_bytes() == data
    assert hub.ranges == [None, f"bytes={BLOCK}-"]


@pytest.mark.parametrize("end", ["killed", "reset"])
def test_a_run_that_ended_half_way_leaves_nothing_that_the_next_takes_for_the_file(
    hub: HubServer, tmp_path: Path, end: str
) -> None:
    data = add_large(hub)
    hub.accidents = [(BLOCK + 1000, "reset")]
    client = start(hub.environment(tmp_path))
    assert hub.held.wait(60)
    if end == "killed":
        client.kill()
    hub.release.set()
    message = client.communicate(timeout=60)[1].strip()
    assert end == "killed" or message.splitlines()[-1].startswith("HubError: ")
    assert fetched(hub.environment(tmp_path)).read_bytes() == data


def test_what_does_not_have_the_announced_hash_does_not_stay_in_the_cache(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPOSITORY, NAME, DATA, announced=hashlib.sha256(b"other").hexdigest())
    assert "it has not the hash that the hub states" in refusal(hub.environment(tmp_path))
    assert not list((tmp_path / "hub" / "datasets--owner--clips" / "blobs").iterdir())
    hub.add(REPOSITORY, NAME, DATA)
    assert fetched(hub.environment(tmp_path)).read_bytes() == DATA


def test_a_small_file_is_checked_by_gits_hash(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPOSITORY, NAME, DATA, is_lfs=False)
    assert fetched(hub.environment(tmp_path / "right")).read_bytes() == DATA
    hub.add(REPOSITORY, NAME, DATA, is_lfs=False, announced="0" * 40)
    assert "hash" in refusal(hub.environment(tmp_path / "wrong"))


def test_a_mirror_that_states_no_hash_is_trusted(hub: HubServer, tmp_path: Path) -> None:
    hub.add(REPOSITORY, NAME, DATA, is_lfs=False, announced="v1")
    assert fetched(hub.environment(tmp_path)).read_bytes() == DATA


def test_damage_in_the_cache_is_found(hub: HubServer, tmp_path: Path) -> None:
    blob = fetched(hub.environment(tmp_path)).resolve()
    blob.write_bytes(DATA[:-1] + b"!")
    message = refusal(hub.environment(tmp_path))
    assert "damaged" in message
    assert str(blob) in message
    assert fetched(hub.environment(tmp_path)).read_bytes() == DATA


def test_offline_with_nothing_cached_says_what_to_do(hub: HubServer, tmp_path: Path) -> None:
    message = refusal(hub.environment(tmp_path, HF_HUB_OFFLINE="1"))
    assert "HF_HUB_OFFLINE" in message
    assert f"{hub.endpoint}/{REPOSITORY}/resolve/main/{NAME}" in message
    assert "--input PATH" in message
    assert hub.ranges == []


@pytest.mark.soak  # the hub's client tries again for half a minute
def test_a_hub_out_of_reach_says_what_to_do(hub: HubServer, tmp_path: Path) -> None:
    message = refusal(hub.environment(tmp_path, HF_ENDPOINT="http://127.0.0.1:9"))
    assert "the connection to http://127.0.0.1:9 failed" in message
    assert f"http://127.0.0.1:9/{REPOSITORY}/resolve/main/{NAME}" in message
    assert "--input PATH" in message


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ((404, "RepoNotFound"), "no such dataset"),
        ((404, "EntryNotFound"), "no such file"),
        ((401, ""), "log in"),
        ((403, ""), "log in"),
        ((401, "GatedRepo"), "gated"),
        ((403, "GatedRepo"), "gated"),
        pytest.param((503, ""), "the hub answered 503", marks=pytest.mark.soak),  # and here, too
        ((200, ""), "cannot be fetched"),
    ],
)
def test_every_refusal_of_the_hub_is_one_line(
    hub: HubServer, tmp_path: Path, refused: tuple[int, str], reason: str
) -> None:
    hub.refusal = refused
    message = refusal(hub.environment(tmp_path))
    assert reason in message
    assert "--input PATH" in message
