"""What the README shows is what works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from phi3v_data.converters.registry import source_names

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SHOWN = [line for line in re.findall(r"^\$ (phi3v-data .*)$", README, flags=re.MULTILINE) if "COMMAND" not in line]


def test_the_three_commands_of_the_first_lines_are_shown_first() -> None:
    assert SHOWN[:3] == [
        "phi3v-data convert --source ucf101 --frames 8",
        "phi3v-data validate",
        "phi3v-data train",
    ]


def test_every_source_is_in_the_table_and_has_its_page() -> None:
    linked = dict(re.findall(r"\[`([\w-]+)`\]\((docs/sources/[\w-]+\.md)\)", README))
    assert set(linked) == set(source_names())
    assert all((ROOT / page).is_file() for page in linked.values())


def test_the_python_shown_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from PIL import Image
    from tiny_runs import tiny_config

    from phi3v_data.trainer.model_folder import load_trainable, save_model
    from phi3v_data.trainer.phi3v.tiny import tiny_processor, write_tiny

    model = write_tiny(tmp_path / "model")
    Image.new("RGB", (60, 80)).save(tmp_path / "page.png")
    adapted = load_trainable(tiny_config({"strategy": "lora", "lora.rank": 4}))
    save_model(adapted, tiny_processor(), tmp_path / "runs/ucf101-lora/model", torch.float32)
    monkeypatch.chdir(tmp_path)
    shown = "\n".join(re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE))
    assert "PeftModel" in shown
    names: dict[str, object] = {}
    exec(shown.replace("microsoft/Phi-3.5-vision-instruct", str(model)), names)
    assert capsys.readouterr().out.strip()
    assert type(names["adapted"]).__name__ == "PeftModelForCausalLM"


def test_the_record_shown_is_one() -> None:
    from phi3v_data.schema.record import decode_record

    (shown,) = re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)
    assert decode_record(shown.replace("\n", " ")).id == "val-0000000300"
