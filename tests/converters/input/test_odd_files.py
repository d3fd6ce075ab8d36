"""What is not a regular file in the input is one quarantined item, and neither waited for nor the end of the run."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from PIL import Image

from phi3v_data.converters.engine.run import ConvertRequest, convert


@pytest.mark.slow
def test_links_to_nowhere_and_to_themselves_fifos_sockets_and_devices_are_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "raw" / "train" / "A"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)  # the path of a socket must be short
    Image.new("RGB", (20, 10)).save("a.png")
    Path("device.png").symlink_to("/dev/zero")
    os.mkfifo("fifo.png")
    Path("itself.png").symlink_to("itself.png")
    Path("nowhere.png").symlink_to("missing.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    out = tmp_path / "out"
    options = {"split_by": "folder"}
    convert(
        ConvertRequest(source="image-folder", input=str(tmp_path / "raw"), out=str(out), options=options, workers=1)
    )
    quarantined = [json.loads(line) for line in (out / "quarantine.jsonl").read_text("utf-8").splitlines()]
    assert {Path(line["path"]).stem: line["message"].partition(":")[0] for line in quarantined} == {
        "device": "a device, not a regular file",
        "fifo": "a FIFO, not a regular file",
        "itself": "Too many levels of symbolic links",
        "nowhere": "train/A/nowhere.png",
        "socket": "a socket, not a regular file",
    }
    assert len((out / "image-folder_train.jsonl").read_text("utf-8").splitlines()) == 1
