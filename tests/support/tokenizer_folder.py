"""A model folder that holds as much as counting tokens needs: a byte-level tokenizer and crops of 84 pixels."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors

from phi3v_data.schema.special_tokens import SPECIAL_TOKENS


def write_tokenizer_folder(folder: Path) -> Path:
    """Write `tokenizer.json` and `preprocessor_config.json`."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL_TOKENS])
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    folder.mkdir(parents=True, exist_ok=True)
    core.save(str(folder / "tokenizer.json"))
    settings = {"num_crops": 1, "num_img_tokens": 9, "crop_size": 84}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder
