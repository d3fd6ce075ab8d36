"""A dataset or a model -> a repository of the Hugging Face hub."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import huggingface_hub
import msgspec
import yaml
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from ..schema.errors import HubError, InputError, UsageError
from ..schema.layout import MANIFEST
from ..storage import is_remote

FOLDER_LIMIT = 10_000
"""Files that the hub takes in one folder of a repository (its documentation, "Repository limitations")."""

# Letters, digits and . _ - between, as the hub takes them.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

Kind = Literal["dataset", "model"]


@dataclass(frozen=True)
class Upload:
    """What is going to be uploaded.

    Args:
        folder: what lies there goes up; hidden files and folders (leading dot) stay.
        repository: `owner/name`.
        kind: of the repository.
        files: names relative to the folder, sorted.
        size: bytes in all.
        licence: of the card; "" where it names none.
        largest_folder: files in the folder that holds most.
    """

    folder: Path
    repository: str
    kind: Kind
    files: list[str]
    size: int
    licence: str
    largest_folder: int


class Pushed(msgspec.Struct, frozen=True):
    """What was uploaded, and where it is now."""

    repository: str
    kind: Kind
    private: bool
    files: int
    bytes: int
    address: str


def plan_upload(path: str, repository: str) -> Upload:
    """Look at what is to be uploaded, and touch nothing.

    Args:
        path: a dataset folder, a model folder, or a run's folder, whose model is meant.
        repository: `owner/name`.

    Raises:
        UsageError: the folder is none of them, or the repository's name cannot be one.
    """
    if is_remote(path):
        raise UsageError(f"{path}: push takes a local folder; copy it here first")
    folder, kind = _folder_of(Path(path))
    if not _NAME.fullmatch(repository):
        raise UsageError(f"{repository}: not a repository of the hub; expected OWNER/NAME")
    found = [file.relative_to(folder) for file in sorted(folder.rglob("*")) if file.is_file()]
    shown = [name for name in found if not any(part.startswith(".") for part in name.parts)]
    per_folder: dict[Path, int] = {}
    for name in shown:
        per_folder[name.parent] = per_folder.get(name.parent, 0) + 1
    return Upload(
        folder=folder,
        repository=repository,
        kind=kind,
        files=[name.as_posix() for name in shown],
        size=sum((folder / name).stat().st_size for name in shown),
        licence=_licence(folder / "README.md"),
        largest_folder=max(per_folder.values(), default=0),
    )


def is_public(upload: Upload) -> bool | None:
    """Tell whether the repository is there and public; None where there is none, or none that may be seen.

    Raises:
        HubError: the hub cannot be asked.
    """
    with _hub_errors(upload.repository):
        try:
            found = huggingface_hub.HfApi().repo_info(upload.repository, repo_type=upload.kind)
        except RepositoryNotFoundError:
            return None
    return not found.private


def push(upload: Upload, *, private: bool, message: str) -> Pushed:
    """Make the repository if it is not there, and upload the folder in one commit.

    Args:
        upload: what.
        private: for a repository that is made; one that is there stays what it is.
        message: of the commit.

    Raises:
        HubError: the hub refuses, or cannot be reached.
    """
    api = huggingface_hub.HfApi()
    with _hub_errors(upload.repository):
        api.create_repo(upload.repository, repo_type=upload.kind, private=private, exist_ok=True)
        found = api.upload_folder(
            repo_id=upload.repository,
            repo_type=upload.kind,
            folder_path=upload.folder,
            commit_message=message,
            ignore_patterns=[".*", ".*/**", "**/.*", "**/.*/**"],
        )
    address = str(found.repo_url)
    return Pushed(upload.repository, upload.kind, private, len(upload.files), upload.size, address)


def _folder_of(path: Path) -> tuple[Path, Kind]:
    if (path / "run.json").is_file():
        if not (path / "model").is_dir():
            raise InputError(f"{path}: this run saved no model (it ended before that); resume it first")
        return path / "model", "model"
    if (path / MANIFEST).is_file():
        return path, "dataset"
    if (path / "config.json").is_file() or (path / "adapter_config.json").is_file():
        return path, "model"
    raise InputError(
        f"{path}: expected a dataset folder ({MANIFEST}), a model folder (config.json) or a run (run.json)"
    )


def _licence(card: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError, yaml.YAMLError):
        _, front, _ = f"{card.read_text('utf-8')}\n---\n---\n".split("---\n", 2)
        found = yaml.safe_load(front)
        if isinstance(found, dict):
            return str(found.get("license_name") or found.get("license") or "")
    return ""


@contextlib.contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    try:
        yield
    except LocalTokenNotFoundError as error:
        raise HubError(f"{repository}: the hub needs a token; log in with: hf auth login") from error
    except OfflineModeIsEnabled as error:
        raise HubError(f"{repository}: the hub is switched off; unset HF_HUB_OFFLINE") from error
    except RepositoryNotFoundError as error:
        raise HubError(f"{repository}: not found, or not yours to write to; check the name and the token") from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        hint = "log in with: hf auth login" if status in (401, 403) else "try again later"
        raise HubError(
            f"{repository}: the hub answered {status} ({error.server_message or 'no message'}); {hint}"
        ) from error
    except (OSError, ValueError) as error:
        raise HubError(
            f"{repository}: the hub cannot be reached or refused ({' '.join(str(error).split())})"
        ) from error
