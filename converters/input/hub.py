"""Fetching a source's public copy from the Hugging Face hub, into the hub's own cache.

What the cache holds is taken as it is, without asking the hub again. What it lacks is downloaded so that a run that was
killed goes on where it stopped, and enters the cache only when its hash is the one that the hub states. `HF_ENDPOINT`,
`HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they always mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ...schema.errors import HubError
from ..base import PublicCopy

__all__ = ["fetch", "fetch_all", "hub_trouble", "noted", "notes_folder"]

# A file's ETag is the SHA-256 of its bytes where it is stored apart (LFS, Xet), else git's hash of it, a SHA-1.
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")


def fetch(copy: PublicCopy) -> Path:
    """Return the public copy's path in the hub's cache, downloading it where it is not there.

    Raises:
        HubError: it cannot be fetched, or is not what the hub says it is; the message tells how to do without the hub.
    """
    from huggingface_hub import hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # whichever HTTP library the hub uses

    path = try_to_load_from_cache(copy.repo, copy.file, repo_type="dataset", revision=copy.revision)
    if isinstance(path, str):
        blob = Path(path).resolve()
        if not _is_intact(blob, blob.name):
            raise HubError(f"{blob}: damaged in the hub's cache, its hash is not its name; delete it and run again")
        return Path(path)
    try:
        return _download(copy)
    except (OSError, HTTPError) as error:
        url = hf_hub_url(copy.repo, copy.file, repo_type="dataset", revision=copy.revision)
        raise HubError(
            f"{copy.repo}/{copy.file} cannot be fetched from the hub: {_reason(error)}; "
            f"download {url} by hand and give it with --input PATH"
        ) from error


def fetch_all(copy: PublicCopy) -> Path:
    """Return a folder with the files that the public copy's pattern names, downloading those that are not cached.

    Args:
        copy: its file is a pattern; its files lie in one folder of the dataset.

    Raises:
        HubError: as for `fetch`; or the pattern names nothing.
    """
    found = noted(copy.repo, f"{copy.revision}\n{copy.file}", lambda: _listing(copy))
    paths = [fetch(PublicCopy(copy.repo, name, found["commit"])) for name in found["files"]]
    return paths[0].parent


def _listing(copy: PublicCopy) -> dict[str, Any]:
    from huggingface_hub import HfApi

    with hub_trouble(copy.repo):
        info = HfApi().dataset_info(copy.repo, revision=copy.revision)
    files = sorted(s.rfilename for s in info.siblings or () if fnmatch(s.rfilename, copy.file))
    if not files:
        raise HubError(f"{copy.repo} has no {copy.file} on the hub; give its files with --input PATH")
    return {"commit": info.sha, "files": files}


def noted(repo: str, question: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the hub once answered, or ask it and note the answer beside the dataset's files.

    So a later run takes the same files, also without the hub.

    Args:
        repo: the dataset.
        question: what was asked.
        ask: asks the hub; the answer is plain JSON.
    """
    note = notes_folder(repo) / f"{hashlib.sha256(question.encode()).hexdigest()[:16]}.json"
    if note.exists():
        kept: dict[str, Any] = json.loads(note.read_text("utf-8"))
        return kept
    answer = ask()
    note.parent.mkdir(parents=True, exist_ok=True)
    partial = note.with_suffix(f".{os.getpid()}")
    partial.write_text(json.dumps(answer), "utf-8")
    partial.rename(note)
    return answer


def notes_folder(repo: str) -> Path:
    """Return the folder of our own in the hub's cache of a dataset."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="dataset") / "phi3v-data"


@contextmanager
def hub_trouble(repo: str) -> Iterator[None]:
    """Say in one line why a dataset of the hub cannot be looked at.

    Raises:
        HubError: the hub cannot be reached, or refuses.
    """
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # whichever HTTP library the hub uses

    try:
        yield
    except (OSError, HTTPError) as error:
        raise HubError(f"the dataset {repo} cannot be read from the hub: {_reason(error)}") from error


def _download(copy: PublicCopy) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

    url = hf_hub_url(copy.repo, copy.file, repo_type="dataset", revision=copy.revision)
    metadata = get_hf_file_metadata(url)
    if metadata.etag is None or metadata.commit_hash is None:
        raise OSError(f"what answers at {constants.ENDPOINT} is no hub")
    if _HASH.fullmatch(metadata.etag):
        _download_blob(copy, url, metadata.etag, metadata.size)
    # Where the blob is there, this only gives it its name. What a mirror states no hash of is left to it whole.
    return Path(hf_hub_download(copy.repo, copy.file, repo_type="dataset", revision=copy.revision))


def _download_blob(copy: PublicCopy, url: str, etag: str, size: int | None) -> None:
    """Put a file where the hub's cache keeps contents by their hash."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # exported lazily, so unseen
        WeakFileLock,
        build_hf_headers,
    )

    cache, name = Path(constants.HF_HUB_CACHE), repo_folder_name(repo_id=copy.repo, repo_type="dataset")
    blob = cache / name / "blobs" / etag
    lock = cache / ".locks" / name / f"{etag}.lock"
    partial = blob.with_name(f"{etag}.phi3v-data.incomplete")
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        with partial.open("ab") as stream:
            if size is None or stream.tell() > size:
                stream.seek(0)
                stream.truncate()
            http_get(
                url,
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers() | {"Accept-Encoding": "identity"},
                expected_size=size,
                displayed_filename=copy.file,
            )
        if not _is_intact(partial, etag):
            partial.unlink()
            raise OSError("what arrived does not have the hash that the hub states; it was thrown away, so run again")
        partial.rename(blob)


def _is_intact(path: Path, etag: str) -> bool:
    """Tell whether a file's hash is the one its ETag states; True where it states none."""
    if not _HASH.fullmatch(etag):
        return True
    digest = hashlib.sha256() if len(etag) == 64 else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest() == etag


def _reason(error: Exception) -> str:
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set, and the hub's cache does not hold it"
    if isinstance(error, GatedRepoError):
        return "it is gated; accept its terms on the hub and log in (hf auth login)"
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    if isinstance(error, RepositoryNotFoundError) or status in {401, 403}:
        return "there is no such dataset, or you may not see it; log in (hf auth login) if it is private"
    if isinstance(error, RevisionNotFoundError):
        return "it has no such branch, tag or commit"
    if isinstance(error, EntryNotFoundError):
        return "the dataset holds no such file"
    if status is not None:
        return f"the hub answered {status}"
    cause = " ".join(str(error).split()) or type(error).__name__
    # The HTTP library's own errors, of a connection refused, timed out or broken.
    return cause if isinstance(error, OSError) else f"the connection to {constants.ENDPOINT} failed ({cause})"
