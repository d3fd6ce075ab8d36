"""UCF-101, or any videos in folders by class: what is being done in the clip?

One raw sample is one clip. Its folder is its class; the group in its name tells which clips were cut from one and the
same video::

    val/BabyCrawling/v_BabyCrawling_g21_c04.avi      MPEG-4, 320x240, 25 frames a second

It becomes one question about a few of its frames::

    {"id": "val-0000000300", "source": "ucf101",
     "conversations": [{"images": ["val/BabyCrawling/v_BabyCrawling_g21_c04.0.jpg"],
                        "user": "Classify the video into one of the following classes: ApplyEyeMakeup, ...",
                        "assistant": "BabyCrawling"}],
     "meta": {"group": "g21", "label": "BabyCrawling", "video": "val/BabyCrawling/v_BabyCrawling_g21_c04.avi",
              "sha256": "...", "frames": [0], "pts": [0.0]}}

The raw data has one of three forms, told apart by what is there, possibly inside one more folder:

- the public subset: `train|val|test/<Class>/<clip>`;
- the full dataset: `UCF-101/<Class>/<clip>` beside `ucfTrainTestlist/`, whose lists of one fold name the clips of the
  splits train and test. A clip that is listed and missing fails by name, and so does one that is there and not listed,
  in a split `unlisted` (`--splits train,test` leaves that out);
- a plain folder of classes: `<Class>/<clip>`, all in the split train.

Files of a class that are no video by their suffix (notes, thumbnails) are no samples; neither is anything hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from ...schema.errors import ItemError
from ...schema.record import Record, Turn
from ...storage import Folder
from ..base import ImageSink, Item, PublicCopy
from ..folders.labelled_folder import LabelPrompt
from ..folders.split_lists import UNLISTED
from ..folders.ucf101_forms import Form, find_form
from ..prompts import Prompts
from ..video import Decoder
from ..video.clips import show_clip
from ..video.sampling import Sampling

__all__ = ["UCF101"]

_GROUP = re.compile(r"_(g\d+)_")


@dataclass(frozen=True)
class UCF101:
    """Clips of UCF-101, or of any folder of classes, each with the question which class it is of."""

    name: ClassVar[str] = "ucf101"
    public_copy: ClassVar[PublicCopy] = PublicCopy("sayakpaul/ucf101-subset", "UCF101_subset.tar.gz")

    input: Folder
    sampling: Annotated[Sampling, Meta(description="which frames are shown")] = field(default_factory=Sampling)
    decoder: Annotated[Decoder, Meta(description="what reads the frames")] = "auto"
    fold: Annotated[int, Meta(ge=1, le=3, description="the official split of the full dataset")] = 1
    prompt: LabelPrompt = ("Classify the video into one of the following classes: {{ labels | join(', ') }}.",)

    def __post_init__(self) -> None:
        """Refuse a prompt that is no template before anything is read."""
        self._prompts  # noqa: B018 - made here, kept for later

    def discover(self) -> Iterator[Item]:
        """Find every clip: the splits in turn, each by class and name, numbered through.

        Raises:
            InputError: the input has none of the three forms, or holds something that would be left out unsaid.
        """
        form = self._form
        for number, clip in enumerate(form.clips()):
            yield Item(
                id=f"{clip.split}-{number:010d}",
                split=clip.split,
                path=form.base + form.path(clip),
                file=form.base + form.path(clip),
                # Only the last suffix goes: v.a.avi and v.b.avi stay apart.
                images=f"{clip.split}/{clip.label}/{PurePosixPath(clip.name).stem}",
            )

    def convert(self, item: Item, images: ImageSink) -> Record:
        """Show a clip's frames, ask for its class.

        Raises:
            ItemError: the clip is in no list of the fold.
            MediaError: it is missing, a folder, or cannot be decoded.
        """
        name = PurePosixPath(item.path).name
        label = PurePosixPath(item.path).parent.name
        if item.split == UNLISTED:
            raise ItemError(f"{name}: in no list of fold {self.fold}; list it, or leave it out: --splits train,test")
        clip = show_clip(self.input, item.file, item, images, self.sampling, self.decoder)
        group = _GROUP.search(name)
        meta: dict[str, Any] = {"group": group[1]} if group else {}
        meta |= {"label": label, "video": item.path.removeprefix(self._form.base), **clip.provenance}
        question = self._prompts.render(item.id, {"labels": self._labels})
        turn = Turn(images=clip.images, user=question, assistant=label)
        return Record(id=item.id, source=self.name, conversations=[turn], meta=meta)

    @cached_property
    def _form(self) -> Form:
        return find_form(self.input, self.fold)

    @cached_property
    def _labels(self) -> list[str]:
        return self._form.labels()

    @cached_property
    def _prompts(self) -> Prompts:
        return Prompts(self.prompt, self.sampling.seed, names=["labels"])
