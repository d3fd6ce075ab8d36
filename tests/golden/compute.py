"""Compute the golden numbers with the published code; README.md beside this file names the environment it needs."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import golden_inputs as given
import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor

# Of torchvision the Python half is enough; but without its compiled half it asks for these when it is imported.
_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")

# The tiny model's tower is narrower than the published one.
_EDITS = (("C == 1024 and ", ""), ("torch.zeros(1, 1921, 4096,", "torch.zeros(1, 1921, 128,"))

_APART = 61  # of the rows of image tokens every so many are stored, of text every third
_AT = [0, 1, 167, 334, 335]  # rows and columns of the global crop that are stored


def main() -> None:
    """Write `model.json`, `model.safetensors`, `images.json` and `images.safetensors`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, required=True, help="Folder of the published code.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="Where the numbers go.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    modelling, processing = load_code(options.code)
    images = {(number, crops): _image_numbers(processing, number, crops) for number, crops in given.IMAGE_CASES}
    _write(
        options.out / "images",
        {f"img{n}_nc{c}": facts for (n, c), (facts, _, _) in images.items()},
        {f"img{n}_nc{c}.global": sampled for (n, c), (_, sampled, _) in images.items()},
    )
    facts: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for name in given.CASES:
        facts[name], of_case = _case_numbers(modelling, processing, name)
        tensors |= {f"{name}.{key}": value.contiguous() for key, value in of_case.items()}
    _write(options.out / "model", facts, tensors)


def load_code(folder: Path) -> tuple[ModuleType, ModuleType]:
    """Import the published modules from a copy with the edits, for the tiny tower."""
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            _OPERATORS.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    copy = Path(tempfile.mkdtemp()) / "published"
    copy.mkdir()
    (copy / "__init__.py").touch()
    for file in folder.glob("*_phi3_v.py"):
        text = file.read_text()
        for before, after in _EDITS if file.name.startswith("modeling") else ():
            assert before in text, before
            text = text.replace(before, after)
        (copy / file.name).write_text(text)
    sys.path.insert(0, str(copy.parent))
    modelling, processing = (importlib.import_module(f"published.{name}_phi3_v") for name in ("modeling", "processing"))
    vars(modelling)["CLIP_VIT_LARGE_PATCH14_336_CONFIG"] = transformers.CLIPVisionConfig(**given.TOWER)
    return modelling, processing


def _processed(processing: ModuleType, number: int, crops: int) -> dict[str, Any]:
    made = processing.Phi3VImageProcessor(num_crops=crops, image_mean=_MEAN, image_std=_STD)
    found: dict[str, Any] = made(given.image(number), return_tensors="pt")
    return found


_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def _image_numbers(processing: ModuleType, number: int, crops: int) -> tuple[dict[str, Any], Tensor, Tensor]:
    made = _processed(processing, number, crops)
    pixels, (size,) = made["pixel_values"][0], made["image_sizes"].tolist()
    parts = size[0] // 336 * (size[1] // 336)
    canvas = np.asarray(processing.HD_transform(given.image(number).convert("RGB"), hd_num=crops))
    facts = {
        "image_size": size,
        "num_img_tokens": int(made["num_img_tokens"][0]),
        "canvas_sha256": _sha256(canvas),
        "sub_crops_sha256": _sha256(pixels[1 : 1 + parts].numpy()),
    }
    return facts, pixels[0][:, _AT][..., _AT].clone(), pixels


def _case_numbers(modelling: ModuleType, processing: ModuleType, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    case = given.CASES[name]
    made = {
        (number, crops): _processed(processing, number, crops)
        for images, crops in zip(case.images, case.num_crops, strict=True)
        for number in images
    }
    ids = given.case_inputs(name, lambda number, crops: int(made[number, crops]["num_img_tokens"][0]))
    inputs = {key: torch.from_numpy(value) for key, value in ids.items()}
    if made:
        most = 1 + max(case.num_crops)
        order = [(n, crops) for images, crops in zip(case.images, case.num_crops, strict=True) for n in images]
        pixels = [made[key]["pixel_values"][0] for key in order]
        padded = [torch.cat([own, own.new_zeros(most - len(own), *own.shape[1:])]) for own in pixels]
        inputs["pixel_values"] = torch.stack(padded)
        inputs["image_sizes"] = torch.cat([made[key]["image_sizes"] for key in order])
    model = _model(modelling, name)
    embedded: list[Tensor] = []
    model.model.layers[0].register_forward_pre_hook(lambda module, args: embedded.append(args[0].detach()))
    outputs = model(**inputs, use_cache=False)
    rows = _stored_rows(inputs)
    at = rows[:, 0].long(), rows[:, 1].long()
    facts: dict[str, Any] = {"images": case.images, "num_crops": case.num_crops}
    if case.supervised:
        outputs.loss.backward()
        norms = {
            key: None if value.grad is None else value.grad.norm().item() for key, value in model.named_parameters()
        }
        # The published code shares its word embeddings with the image module, under a second name.
        facts |= {"loss": outputs.loss.item(), "grad_norms": {k: n for k, n in norms.items() if ".wte." not in k}}
    return facts, {"rows": rows, "logits": outputs.logits.detach()[at], "inputs_embeds": embedded[0][at]}


def _model(modelling: ModuleType, name: str) -> Any:
    config = sys.modules["published.configuration_phi3_v"].Phi3VConfig(**given.config_of(name))
    config._attn_implementation = "eager"
    model = modelling.Phi3VForCausalLM(config).eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            value.copy_(torch.from_numpy(given.weight(key, value.shape)))
    return model


def _stored_rows(inputs: dict[str, Tensor]) -> Tensor:
    """Row and position of what is stored: [n, 2]; nothing of the padding."""
    ids, mask = inputs["input_ids"], inputs.get("attention_mask", torch.ones_like(inputs["input_ids"]))
    kept = []
    for row in range(len(ids)):
        for kind, apart in ((ids[row] >= 0, 3), (ids[row] < 0, _APART)):
            kept += [(row, int(place)) for place in (kind & mask[row].bool()).nonzero()[::apart, 0]]
    return torch.tensor(sorted(kept), dtype=torch.int32)


def _sha256(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _write(path: Path, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, "numpy": np.__version__}
    path.with_suffix(".json").write_text(json.dumps({"versions": versions, "cases": facts}, indent=1) + "\n")
    save_file(tensors, path.with_suffix(".safetensors"))


if __name__ == "__main__":
    main()
