"""Which images belong to which row of a batch: they come in one list, row after row."""

from __future__ import annotations

from ...schema.errors import UsageError
from ...schema.wording import counted


def images_of_rows(image_tokens: list[int], tokens_per_image: list[int]) -> list[list[int]]:
    """Assign the images to the rows whose image tokens they fill.

    Args:
        image_tokens: number of image tokens in each row.
        tokens_per_image: number of tokens of each image, in order.

    Returns:
        For each row the indices of its images.

    Raises:
        UsageError: some row's image tokens are not exactly filled by whole images, or images are left over.
    """
    assigned: list[list[int]] = []
    taken = 0
    for row, wanted in enumerate(image_tokens):
        first, filled = taken, 0
        while filled < wanted and taken < len(tokens_per_image):
            filled += tokens_per_image[taken]
            taken += 1
        if filled != wanted:
            raise UsageError(
                f"row {row} has {counted(wanted, 'image token')}, its images make {filled}: give every image as many "
                "tokens as the processor's num_img_tokens says"
            )
        assigned.append(list(range(first, taken)))
    if taken != len(tokens_per_image):
        raise UsageError(
            f"{counted(len(tokens_per_image), 'image')}, {len(tokens_per_image) - taken} of them without image tokens: "
            "put a placeholder for each"
        )
    return assigned
