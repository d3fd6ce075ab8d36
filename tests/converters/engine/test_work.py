from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from phi3v_data.converters.engine.image_files import check_name
from phi3v_data.schema.errors import ItemError

_prefixes = st.text("ab./", min_size=1, max_size=6)
_names = st.text("ab./", max_size=8).map(lambda stem: f"{stem}.jpg")


def _takes(images: str, name: str) -> bool:
    try:
        check_name(name, images)
    except ItemError:
        return False
    return True


@given(_prefixes, _prefixes, _names)
def test_no_two_items_can_save_a_image_under_one_name(first: str, second: str, name: str) -> None:
    assume(first != second)
    assert not (_takes(first, name) and _takes(second, name))


def test_the_names_an_item_may_use() -> None:
    assert _takes("train/x", "train/x.0.jpg")
    assert _takes("train/x", "train/x.page 3.png")
    assert _takes("train/x", "train/x.jpg")
    assert _takes("train/x.1", "train/x.1.0.jpg")
    assert not _takes("train/x.1", "train/x.1.jpg")
    assert not _takes("train/x", "train/x.0.gif")
    assert not _takes("train/x", "train/x10.jpg")
    assert not _takes("train/x", "train/x/0.jpg")
    assert not _takes("train/x", "x.jpg")
