"""`phi3v-data push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .json_result import json_option, print_json

if TYPE_CHECKING:
    from ..data_cards.push import Upload


@click.command("push", short_help="Upload a dataset or a model to the hub; private by default.")
@click.argument("path")
@click.argument("repository", metavar="REPO")
@click.option("--public", is_flag=True, help="Make a new repository public; what that means is shown first.")
@click.option("--message", default="Upload by phi3v-data", show_default=True, help="Message of the commit.")
@click.option("--yes", is_flag=True, help="Do not ask before something becomes public.")
@click.option("--dry-run", is_flag=True, help="Show what would be uploaded, and exit.")
@json_option
def command(path: str, repository: str, public: bool, message: str, yes: bool, dry_run: bool, as_json: bool) -> None:
    """Upload a dataset or a model to the hub; private by default.

    PATH is a dataset folder, a model folder (see `export`), or a run, whose model is meant. REPO is OWNER/NAME; it is
    made where there is none. A dataset gets a card first, if it has none. Hidden files stay here.
    """
    from ..data_cards.push import is_public, plan_upload, push

    upload = plan_upload(path, repository)
    if upload.kind == "dataset" and "README.md" not in upload.files and not dry_run:
        from ..schema.dataset import open_dataset
        from .card import write_dataset_card

        write_dataset_card(open_dataset(path), address=repository)
        upload = plan_upload(path, repository)
    for line in _lines(upload):
        click.echo(line, err=as_json)
    if dry_run:
        if as_json:
            print_json(_planned(upload))
        return
    there = is_public(upload)
    becomes_public = public if there is None else there
    if public and there is False:
        click.echo(f"{repository} is there and private, and stays so; change that on the hub", err=True)
    if becomes_public:
        what = "a new public repository" if there is None else f"{repository}, which is public"
        click.echo(f"all of this goes to {what}: everybody can see and copy it, for good", err=True)
        if not yes:
            click.confirm("Upload it?", abort=True, err=True)
    pushed = push(upload, private=not becomes_public, message=message)
    if as_json:
        print_json(pushed)
    else:
        click.echo(f"{pushed.address}: uploaded, {'private' if pushed.private else 'public'}")


def _planned(upload: Upload) -> dict[str, Any]:
    return {
        "repository": upload.repository,
        "kind": upload.kind,
        "folder": upload.folder,
        "files": len(upload.files),
        "bytes": upload.size,
        "licence": upload.licence,
    }


def _lines(upload: Upload) -> list[str]:
    from ..data_cards.push import FOLDER_LIMIT

    lines = [
        f"{upload.kind} {upload.folder} -> {upload.repository}",
        f"files: {len(upload.files):,}; megabytes: {upload.size / 1e6:,.1f}; licence: {upload.licence or 'not stated'}",
    ]
    images = sum(name.startswith("images/") for name in upload.files)
    if upload.kind == "dataset":
        lines.append(f"images among them: {images:,}; records with their texts; dataset.json; quarantine.jsonl")
    if upload.largest_folder > FOLDER_LIMIT:
        hint = "convert with --shards --no-images, and push that"
        lines.append(f"one folder holds {upload.largest_folder:,} files, and the hub takes {FOLDER_LIMIT:,}: {hint}")
    return lines
