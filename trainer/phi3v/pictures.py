"""Which pictures belong to which row of a batch: they come in one list, row after row."""

from __future__ import annotations

from ...schema.errors import UsageError

__all__ = ["pictures_of_rows"]


def pictures_of_rows(image_tokens: list[int], picture_tokens: list[int]) -> list[list[int]]:
    """Deal the pictures to the rows whose image tokens they fill.

    Args:
        image_tokens: number of image tokens in each row.
        picture_tokens: number of tokens of each picture, in order.

    Returns:
        For each row the indices of its pictures.

    Raises:
        UsageError: some row's image tokens are not exactly filled by whole pictures, or pictures are left over.
    """
    dealt: list[list[int]] = []
    taken = 0
    for row, wanted in enumerate(image_tokens):
        first, filled = taken, 0
        while filled < wanted and taken < len(picture_tokens):
            filled += picture_tokens[taken]
            taken += 1
        if filled != wanted:
            raise UsageError(
                f"row {row} has {wanted} image tokens, its pictures make {filled}: give every picture as many tokens "
                "as the processor's num_img_tokens says"
            )
        dealt.append(list(range(first, taken)))
    if taken != len(picture_tokens):
        raise UsageError(
            f"{len(picture_tokens)} pictures, {len(picture_tokens) - taken} of them without image tokens in the text: "
            "put a placeholder for each"
        )
    return dealt
