"""A tokenizer is saved as it came: fine-tuning does not change it, and a rewritten one loads in fewer places.

(Today's `tokenizers` writes a `tokenizer.json` that those of the published code's time cannot read.)
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils.hub import cached_file

from .configuration import reachable_code

_CORE = "tokenizer.json"
_FILES = (_CORE, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: str | Path) -> None:
    """Write a tokenizer: the very files it was loaded from, or new ones where it was changed or made here.

    Args:
        tokenizer: as loaded by `Phi3VProcessor`.
        folder: made where it is missing.
    """
    folder = Path(folder)
    core = _file_it_came_from(tokenizer, _CORE)
    if core is None or Tokenizer.from_file(str(core)).to_str() != tokenizer.backend_tokenizer.to_str():
        tokenizer.save_pretrained(folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        source = _file_it_came_from(tokenizer, name)
        if source is not None and source.resolve() != (folder / name).resolve():
            shutil.copyfile(source, folder / name)
    _drop_code_beside(folder / "tokenizer_config.json")


def _drop_code_beside(file: Path) -> None:
    """Name no code in a `tokenizer_config.json` that is not saved beside it."""
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    auto_map = settings.pop("auto_map", None)
    if auto_map is None or auto_map == (kept := reachable_code(auto_map)):
        return
    written = {**settings, "auto_map": kept} if kept else settings
    file.write_text(json.dumps(written, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _file_it_came_from(tokenizer: PreTrainedTokenizerFast, name: str) -> Path | None:
    source = tokenizer.name_or_path
    if not source:
        return None
    if Path(source).is_dir():
        found = Path(source) / name
        return found if found.is_file() else None
    try:
        cached = cached_file(source, name, local_files_only=True, _raise_exceptions_for_missing_entries=False)
    except OSError:
        # The folder is gone, or the hub's copy is.
        return None
    return Path(cached) if cached else None
