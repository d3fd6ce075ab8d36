"""Fetching files of a dataset on the Hugging Face hub, into the hub's own cache.

What the cache holds is taken as it is, without asking the hub again. Each file is checked against the hash that the hub
states for it. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN` and `HF_HUB_OFFLINE` mean what they always mean.
"""

from __future__ import annotations

import glob
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import msgspec

from ...schema.errors import HubError
from ...storage import LocalFolder, user_cache
from ..base import PublicCopy

Answer = TypeVar("Answer")

_GIVE_A_FOLDER = "download its files by hand and give their folder with --input PATH"
# A file's ETag is the SHA-256 of its bytes where it is stored apart (LFS, Xet), else git's hash of it, a SHA-1.
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{40}")
_NO_DATASET = "there is no such dataset, or you may not see it; log in (hf auth login) if it is private"
# Why something cannot be had, by the hub library's own error.
_REASONS = {
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set, and the hub's cache does not hold it",
    "LocalEntryNotFoundError": "HF_HUB_OFFLINE is set, and the hub's cache does not hold it",
    "GatedRepoError": "it is gated; accept its terms on the hub and log in (hf auth login)",
    "RepositoryNotFoundError": _NO_DATASET,
    "RevisionNotFoundError": "it has no such branch, tag or commit",
    "EntryNotFoundError": "the dataset holds no such file",
}


def fetch_public_copy(copy: PublicCopy) -> Path:
    """Return a source's public copy: its one file, or the folder of the files that its pattern names.

    Raises:
        HubError: it cannot be fetched, or is damaged; the message says how to do without the hub.
    """
    if not glob.has_magic(copy.file):
        return fetch_file(copy.repo, copy.file, copy.revision)
    question = (copy.repo, copy.revision, "files", copy.file)
    commit, files = remembered(question, lambda: _matching_files(copy), tuple[str, list[str]])
    return fetch_files(copy.repo, files, commit) / PurePosixPath(copy.file).parent


def _matching_files(copy: PublicCopy) -> tuple[str, list[str]]:
    """Ask the hub for the dataset's commit, and the files that the pattern names."""
    from huggingface_hub import HfApi

    name = f"{copy.repo}/{copy.file}"
    with hub_errors(name, _GIVE_A_FOLDER):
        info = HfApi().dataset_info(copy.repo, revision=copy.revision)
    files = sorted(s.rfilename for s in info.siblings or () if fnmatch(s.rfilename, copy.file))
    if not files:
        raise HubError(f"{name}: there is no such file on the hub; give its files with --input PATH")
    return str(info.sha), files


def fetch_file(repo: str, file: str, revision: str) -> Path:
    """Return the place of one file of a dataset in the hub's cache, downloading it where it is not there."""
    from huggingface_hub import hf_hub_download, hf_hub_url

    download = partial(hf_hub_download, repo, file, repo_type="dataset", revision=revision)
    url = hf_hub_url(repo, file, repo_type="dataset", revision=revision)
    with hub_errors(f"{repo}/{file}", f"download {url} by hand and give it with --input PATH"):
        path = Path(_cached(download) or download())
    _check([path])
    return path


def fetch_files(repo: str, files: Sequence[str], commit: str) -> Path:
    """Return the folder in the hub's cache that holds some files of a dataset's commit, under their paths there."""
    from huggingface_hub import snapshot_download

    patterns = [glob.escape(file) for file in files]
    download = partial(snapshot_download, repo, repo_type="dataset", revision=commit, allow_patterns=patterns)
    snapshot = _cached(download)
    # Not every version of the library knows whether what it has is all.
    if snapshot is None or not all(Path(snapshot, file).exists() for file in files):
        with hub_errors(repo, _GIVE_A_FOLDER):
            snapshot = download()
    _check([Path(snapshot, file) for file in files])
    return Path(snapshot)


def _cached(download: Callable[..., str]) -> str | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return download(local_files_only=True)
    except LocalEntryNotFoundError:
        return None


def remembered(question: Sequence[str], ask: Callable[[], Answer], kind: type[Answer]) -> Answer:
    """Return what the hub answered before, or ask it: a later run takes the same files, also without the hub."""
    kept = user_cache("hub") / f"{hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]}.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=kind)
    answer = ask()
    LocalFolder(kept.parent).write(kept.name, msgspec.json.encode(answer))
    return answer


def _check(files: Sequence[Path]) -> None:
    """Compare files with the hashes that they are stored under; a damaged one is removed from the cache."""
    for file in files:
        stored = file.resolve()
        if not _HASH.fullmatch(stored.name):
            continue
        digest = hashlib.sha256() if len(stored.name) == 64 else hashlib.sha1(b"blob %d\0" % stored.stat().st_size)
        with stored.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != stored.name:
            stored.unlink()
            file.unlink(missing_ok=True)
            raise HubError(f"{stored}: damaged, it has not the hash that the hub states; it is removed, so rerun")


@contextmanager
def hub_errors(what: str, remedy: str) -> Iterator[None]:
    """Say in one line why something cannot be had from the hub, as HubError, and what to do."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # of whichever library the hub uses

    try:
        yield
    except (OSError, HTTPError) as error:
        raise HubError(f"{what} cannot be fetched from the hub: {_reason(error)}; {remedy}") from error


def _reason(error: BaseException) -> str:
    from huggingface_hub import HfApi

    names = [kind.__name__ for kind in type(error).__mro__]
    if "LocalEntryNotFoundError" in names and error.__cause__ is not None:
        return _reason(error.__cause__)  # what kept the hub from being asked
    if known := next((_REASONS[name] for name in names if name in _REASONS), ""):
        return known
    response: Any = getattr(error, "response", None) if "HfHubHTTPError" in names else None
    if response is not None:
        return _NO_DATASET if response.status_code in {401, 403} else f"the hub answered {response.status_code}"
    cause = " ".join(str(error).split()) or type(error).__name__
    # The HTTP library's own errors: a connection refused, timed out or broken.
    return cause if isinstance(error, OSError) else f"the connection to {HfApi().endpoint} failed ({cause})"
