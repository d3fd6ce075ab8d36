from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from colours import write_dataset
from PIL import Image

from phi3v_data.schema.dataset import Dataset, open_dataset
from phi3v_data.schema.errors import DatasetError, UsageError
from phi3v_data.schema.index import Counting, RecordIndex
from phi3v_data.schema.index.counting import Counter
from phi3v_data.schema.record import Record, Turn
from phi3v_data.trainer.data.crops import cut_images
from phi3v_data.trainer.data.samples import SampleSource
from phi3v_data.trainer.phi3v import Phi3VImageProcessor, Phi3VProcessor
from phi3v_data.trainer.phi3v.image_processing import normalise
from phi3v_data.trainer.phi3v.tiny import tiny_tokenizer


def processor(**settings: object) -> Phi3VProcessor:
    """The tiny model's, with up to 4 crops an image."""
    images = Phi3VImageProcessor(**{"num_crops": 4, "crop_size": 84, "num_img_tokens": 9, **settings})  # type: ignore[arg-type]  # settings of any kind
    return Phi3VProcessor(images, tiny_tokenizer())


@pytest.fixture
def copy(mixed_conversations: Dataset, tmp_path: Path) -> Path:
    """The records and images again, to be spoilt."""
    shutil.copytree(mixed_conversations.folder.address, tmp_path / "copy")
    return tmp_path / "copy"


def test_a_sample_holds_the_crops_and_tokens_of_all_its_images(mixed_conversations: Dataset) -> None:
    source = SampleSource(RecordIndex(mixed_conversations, "train"), processor())
    sample = source[0]
    assert [image.grid.canvas_size for image in sample.images] == [(168, 168)] * 3
    crops = cut_images(sample.images)
    assert crops.shape == (12, 3, 84, 84)
    assert crops.dtype == torch.uint8
    image = source.processor.image_token_id
    assert sample.text.input_ids.count(image) == 3 * source.processor.image_processor.crop_grid(96, 72).tokens
    # Red, blue, green: the middle of each image's first crop.
    middles = crops[::4, :, 60, 42].int()
    assert (middles - torch.tensor([[220, 30, 30], [30, 30, 220], [30, 200, 30]])).abs().max() <= 1


def test_a_record_without_images_has_none(mixed_conversations: Dataset) -> None:
    assert len(SampleSource(RecordIndex(mixed_conversations, "train"), processor())[1].images) == 0


def test_the_first_images_of_a_sample_are_those_of_its_first_turns(mixed_conversations: Dataset) -> None:
    sample = SampleSource(RecordIndex(mixed_conversations, "train"), processor())[0]
    for count in range(4):
        shown = sample.first_images(count)
        assert shown.images == sample.images[:count]
        assert shown.text is sample.text


def test_exact_pixels_are_those_of_the_published_processor(mixed_conversations: Dataset) -> None:
    index = RecordIndex(mixed_conversations, "train")
    fast, exact = (SampleSource(index, processor(), exact_pixels=exact)[0] for exact in (False, True))
    assert fast.text == exact.text
    folder = Path(mixed_conversations.folder.address) / "images"
    images = [Image.open(folder / name) for name in exact.record.images()]
    published = processor().image_processor(images)["pixel_values"]
    crops, exact_crops = (cut_images(sample.images) for sample in (fast, exact))
    assert torch.equal(normalise(exact_crops), published[:, 1:].flatten(0, 1))
    assert (crops.int() - exact_crops.int()).abs().max() <= 1


def _cut_short(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:100])


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (Path.unlink, "No such file or directory"),
        (lambda image: image.write_bytes(b""), "it is no image"),
        (_cut_short, "truncated|broken"),
    ],
)
def test_a_image_that_cannot_be_read_is_named_with_its_record(
    copy: Path, spoil: Callable[[Path], object], why: str, exact: bool
) -> None:
    spoil(copy / "images" / "a" / "green-1.png")
    source = SampleSource(RecordIndex(open_dataset(str(copy)), "train"), processor(), exact_pixels=exact)
    with pytest.raises(DatasetError, match=rf"^record one-turn: images/a/green-1.png cannot be opened \(.*({why})"):
        source[2]
    assert len(source[0].images) == 3


@pytest.mark.parametrize("setting", ["image_mean", "image_std"])
def test_a_processor_that_normalises_otherwise_than_the_model_is_refused(
    mixed_conversations: Dataset, setting: str
) -> None:
    other = processor(**{setting: (0.5, 0.5, 0.5)})
    with pytest.raises(UsageError, match=r"the model normalises by CLIP's own"):
        SampleSource(RecordIndex(mixed_conversations, "train"), other)


class _Threads(torch.utils.data.Dataset[list[int]]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> list[int]:
        return [cv2.getNumThreads(), torch.get_num_threads()]


def test_a_worker_is_one_thread() -> None:
    loader = torch.utils.data.DataLoader(_Threads(), batch_size=None, num_workers=1, multiprocessing_context="fork")
    assert list(loader) == [[1, 1]]


def test_a_token_that_a_tokenizer_has_added_is_refused_in_texts_by_samples_and_counts_alike(tmp_path: Path) -> None:
    record = Record(id="r", conversations=[Turn(user="Hi <|mine|>", assistant="Yes.")])
    data = write_dataset(tmp_path, {"train": [record]})
    plain, own = processor(), processor()
    own.tokenizer.add_tokens(["<|mine|>"])
    assert SampleSource(RecordIndex(data, "train"), plain)[0].images == []
    assert Counter(Counting.of(plain)).tokens(record, []).tokens > 0
    with pytest.raises(DatasetError, match=r"record r, turn 1, user: the text holds the special token <\|mine\|>"):
        SampleSource(RecordIndex(data, "train"), own)[0]
    with pytest.raises(DatasetError, match=r"the special token <\|mine\|>"):
        Counter(Counting.of(own)).tokens(record, [])
