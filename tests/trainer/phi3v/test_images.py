from __future__ import annotations

import pytest

from phi3v_data.schema.errors import UsageError
from phi3v_data.trainer.phi3v.images import images_of_rows


def test_each_row_gets_the_images_that_fill_its_image_tokens() -> None:
    assert images_of_rows([5, 0, 7], [2, 3, 7]) == [[0, 1], [], [2]]


def test_no_images_are_assigned_to_rows_of_text() -> None:
    assert images_of_rows([0, 0], []) == [[], []]


@pytest.mark.parametrize(
    ("image_tokens", "tokens_per_image", "message"),
    [
        ([4], [5], "row 0 has 4 image tokens, its images make 5"),
        ([6], [5], "row 0 has 6 image tokens, its images make 5"),
        # The totals agree, the rows do not.
        ([3, 7], [5, 5], "row 0 has 3 image tokens, its images make 5"),
        ([5], [5, 5], "2 images, 1 of them without image tokens"),
    ],
)
def test_images_that_do_not_fill_the_tokens_are_refused(
    image_tokens: list[int], tokens_per_image: list[int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        images_of_rows(image_tokens, tokens_per_image)
