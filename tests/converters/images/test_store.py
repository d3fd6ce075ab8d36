from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_images import Maker
from PIL import Image, PngImagePlugin

from phi3v_data.converters.images import ImageFormat, ImageSettings
from phi3v_data.converters.images.store import stored_image, stored_pixels
from phi3v_data.schema.errors import ItemError, MediaError

KEEP = ImageSettings()


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """An RGB PNG of 16 bits, which Pillow cannot write."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("kind", "options", "suffix"),
    [
        ("JPEG", {}, ".jpg"),
        ("JPEG", {"quality": 95, "subsampling": 0}, ".jpg"),
        ("JPEG", {"progressive": True, "optimize": True}, ".jpg"),
        ("JPEG", {"restart_marker_blocks": 2}, ".jpg"),
        ("JPEG", {"exif": exif(1)}, ".jpg"),
        ("JPEG", {"exif": b"Exif\0\0 not at all"}, ".jpg"),
        ("JPEG", {"icc_profile": b"profile" * 20_000}, ".jpg"),
        ("PNG", {}, ".png"),
        ("PNG", {"compress_level": 1, "dpi": (300, 300)}, ".png"),
    ],
    ids=["jpeg", "full chroma", "progressive", "restarts", "upright", "odd exif", "profile", "png", "another png"],
)
def test_a_plain_image_keeps_its_bytes(maker: Maker, kind: str, options: dict[str, Any], suffix: str) -> None:
    data = maker.file(maker.image(), kind, **options)
    assert stored_image(data, KEEP) == (data, suffix)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 100),
    st.sampled_from([0, 1, 2, "4:1:1"]),
    st.booleans(),
)
def test_whatever_jpeg_pillow_writes_is_taken_for_undamaged(
    maker: Maker, height: int, width: int, quality: int, subsampling: int | str, progressive: bool
) -> None:
    image = maker.image(height, width)
    data = maker.file(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    assert stored_image(data, KEEP).data == data


def test_bytes_behind_a_images_end_do_no_harm(maker: Maker) -> None:
    data = maker.file(maker.image(), "JPEG") + bytes(1000)
    assert stored_image(data, KEEP).data == data


def _transparent_grey() -> Image.Image:
    image = Image.new("LA", (32, 24), (10, 0))
    image.paste((200, 255), (0, 0, 16, 24))
    return image


def _seen(image: Image.Image) -> Any:
    """A colour or palette entry that an image has."""
    return image.getpixel((0, 0))


# Every kind of image that is not plain: how it is made, and what it is to become.
NORMALISED: dict[str, tuple[Callable[[Maker], bytes], str]] = {
    "grey": (lambda m: m.file(m.image(mode="L"), "PNG"), ".png"),
    "grey jpeg": (lambda m: m.file(m.image(mode="L"), "JPEG"), ".jpg"),
    "one bit": (lambda m: m.file(m.image(mode="1"), "PNG"), ".png"),
    "palette": (lambda m: m.file(m.image(mode="P"), "PNG"), ".png"),
    "palette, transparent": (lambda m: m.file(m.image(mode="P"), "PNG", transparency=_seen(m.image(mode="P"))), ".png"),
    "alpha": (lambda m: m.file(m.image(mode="RGBA"), "PNG"), ".png"),
    "grey alpha": (lambda m: m.file(_transparent_grey(), "PNG"), ".png"),
    "transparent colour": (lambda m: m.file(m.image(), "PNG", transparency=_seen(m.image())), ".png"),
    "transparent grey": (lambda m: m.file(m.image(mode="L"), "PNG", transparency=_seen(m.image(mode="L"))), ".png"),
    "grey of 16 bits": (lambda m: m.file(m.image(mode="L").convert("I;16"), "PNG"), ".png"),
    "colour of 16 bits": (lambda m: png_of_16_bits(m.pixels().astype(np.uint16) * 257), ".png"),
    "turned png": (lambda m: m.file(m.image(), "PNG", exif=exif(6)), ".png"),
    "turned jpeg": (lambda m: m.file(m.image(), "JPEG", exif=exif(8)), ".jpg"),
    "cmyk": (lambda m: m.file(m.image(mode="CMYK"), "JPEG"), ".jpg"),
    "rgb in jpeg": (lambda m: m.file(m.image(), "JPEG", keep_rgb=True), ".jpg"),
    "webp": (lambda m: m.file(m.image(), "WEBP"), ".jpg"),
    "webp, alpha": (lambda m: m.file(m.image(mode="RGBA"), "WEBP"), ".jpg"),
    "lossless webp": (lambda m: m.file(m.image(), "WEBP", lossless=True), ".png"),
    "lossless webp with metadata": (lambda m: m.file(m.image(), "WEBP", lossless=True, icc_profile=b"odd"), ".png"),
    "gif": (lambda m: m.file(m.image(mode="P"), "GIF"), ".png"),
    "animation": (
        lambda m: m.file(m.image(), "GIF", save_all=True, append_images=[Image.new("RGB", (32, 24))]),
        ".png",
    ),
    "animated png": (
        lambda m: m.file(m.image(), "PNG", save_all=True, append_images=[Image.new("RGB", (32, 24))]),
        ".png",
    ),
    "two in a jpeg": (
        lambda m: m.file(m.image(), "MPO", save_all=True, append_images=[Image.new("RGB", (32, 24))]),
        ".jpg",
    ),
    "tiff": (lambda m: m.file(m.image(), "TIFF"), ".png"),
    "tiff, compressed": (lambda m: m.file(m.image(), "TIFF", compression="tiff_lzw"), ".png"),
    "tiff holding jpeg": (lambda m: m.file(m.image(), "TIFF", compression="jpeg"), ".jpg"),
    "tiff of cmyk": (lambda m: m.file(m.image(mode="CMYK"), "TIFF"), ".png"),
    "pages": (lambda m: m.file(m.image(), "TIFF", save_all=True, append_images=[Image.new("RGB", (9, 9))]), ".png"),
    "tiff of lab": (lambda m: m.file(m.image().convert("LAB"), "TIFF"), ".png"),
    "ppm": (lambda m: m.file(m.image(), "PPM"), ".png"),
    "bmp": (lambda m: m.file(m.image(), "BMP"), ".png"),
    "jpeg 2000": (lambda m: m.file(m.image(), "JPEG2000"), ".jpg"),
}


Image.init()
if "AVIF" in Image.SAVE:  # not in every Pillow
    NORMALISED["avif"] = (lambda m: m.file(m.image(), "AVIF"), ".jpg")


@pytest.mark.parametrize("kind", NORMALISED)
@pytest.mark.parametrize("image_format", ["keep", "png", "jpeg"])
def test_any_other_image_becomes_plain_rgb(maker: Maker, kind: str, image_format: ImageFormat) -> None:
    make, suffix = NORMALISED[kind]
    chosen = ImageSettings(image_format=image_format, quality=95)
    stored = stored_image(make(maker), chosen)
    assert stored.suffix == {"keep": suffix, "png": ".png", "jpeg": ".jpg"}[image_format]
    assert stored_image(stored.data, KEEP) == stored, "what is stored is plain, and would be kept"
    assert maker.opened(stored.data).info.keys() <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def png_pixels(maker: Maker, data: bytes) -> np.ndarray:
    """The pixels of an image as it is stored, before any loss by JPEG."""
    return np.asarray(maker.opened(stored_image(data, ImageSettings(image_format="png")).data))


@pytest.mark.parametrize(
    "kind",
    [
        "animation",
        "animated png",
        "pages",
        "tiff",
        "tiff, compressed",
        "bmp",
        "lossless webp",
        "rgb in jpeg",
        "jpeg 2000",
    ],
)
def test_of_several_frames_the_first_is_stored_as_it_is(maker: Maker, kind: str) -> None:
    difference = png_pixels(maker, NORMALISED[kind][0](maker)).astype(int) - maker.pixels()
    assert np.abs(difference).mean() < {"animation": 12, "rgb in jpeg": 4, "jpeg 2000": 1}.get(kind, 1e-9)


def test_grey_is_put_into_all_three_colours(maker: Maker) -> None:
    grey = maker.image(mode="L")
    assert np.array_equal(png_pixels(maker, maker.file(grey, "PNG")), np.stack([np.asarray(grey)] * 3, -1))


def test_sixteen_bits_are_scaled_not_clipped(maker: Maker) -> None:
    numbers = np.linspace(0, 0xFFFF, 24 * 32).astype(np.uint16).reshape(24, 32)
    grey = png_pixels(maker, maker.file(Image.fromarray(numbers), "PNG"))
    assert np.array_equal(grey, np.stack([numbers >> 8] * 3, -1))
    assert np.array_equal(png_pixels(maker, maker.file(Image.fromarray(numbers), "TIFF")), grey)
    wider = Image.fromarray(numbers.astype(np.int32))
    assert np.array_equal(png_pixels(maker, maker.file(wider, "TIFF")), grey)
    assert np.array_equal(png_pixels(maker, png_of_16_bits(np.stack([numbers] * 3, -1))), grey)


@pytest.mark.parametrize(
    "kind", ["alpha", "grey alpha", "palette, transparent", "transparent colour", "transparent grey"]
)
def test_transparency_is_laid_on_white(maker: Maker, kind: str) -> None:
    data = NORMALISED[kind][0](maker)
    layer = maker.opened(data).convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    expected = np.asarray(Image.alpha_composite(white, layer).convert("RGB")).astype(int)
    assert np.abs(png_pixels(maker, data) - expected).max() <= 1
    assert kind == "alpha" or (expected == 255).all(-1).any()


def test_half_transparent_black_on_white_is_grey(maker: Maker) -> None:
    data = maker.file(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG")
    assert np.unique(png_pixels(maker, data)).tolist() == [127]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_image_is_turned_as_its_exif_data_asks(maker: Maker, kind: str, orientation: int) -> None:
    upright = maker.pixels()
    turned = {  # how a camera held in each way would store the upright image
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    best: dict[str, dict[str, bool | int]] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = maker.file(Image.fromarray(np.ascontiguousarray(turned)), kind, exif=exif(orientation), **best.get(kind, {}))
    assert np.abs(png_pixels(maker, data).astype(int) - upright).mean() <= (2 if kind == "JPEG" else 0)


def test_cmyk_is_read_inverted_where_adobes_marker_says_so_and_only_there(maker: Maker) -> None:
    image = maker.image(mode="CMYK")
    adobe = maker.file(image, "JPEG", quality=100, subsampling=0)
    start = adobe.index(b"\xff\xee")  # the marker's segment, 16 bytes in all
    # The same numbers without the marker mean the opposite amount of ink.
    bare = adobe[:start] + adobe[start + 16 :]
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(png_pixels(maker, adobe) - expected).mean() < 2
    inverted = Image.fromarray(255 - np.asarray(image), "CMYK").convert("RGB")
    assert np.abs(png_pixels(maker, bare) - np.asarray(inverted).astype(int)).mean() < 2


def test_the_quality_is_that_of_the_settings(maker: Maker) -> None:
    image = maker.image(240, 320)
    sizes = [
        len(stored_image(maker.file(image, "WEBP"), ImageSettings(quality=quality)).data) for quality in (20, 75, 95)
    ]
    assert sizes == sorted(set(sizes))


@pytest.mark.parametrize(
    ("image_format", "kind", "kept"),
    [("png", "PNG", True), ("png", "JPEG", False), ("jpeg", "JPEG", True), ("jpeg", "PNG", False)],
)
def test_a_format_asked_for_is_given_and_its_own_files_keep_their_bytes(
    maker: Maker, image_format: ImageFormat, kind: str, kept: bool
) -> None:
    data = maker.file(maker.image(), kind)
    stored = stored_image(data, ImageSettings(image_format=image_format))
    assert (stored.data == data) is kept
    assert maker.opened(stored.data).format == image_format.upper()
    assert stored.suffix == {"png": ".png", "jpeg": ".jpg"}[image_format]


@pytest.mark.parametrize(
    "data",
    [b"", b"no image", b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>"],
    ids=["empty", "text", "a jpeg's start", "postscript", "svg"],
)
def test_what_is_no_image_is_refused_by_naming_the_formats(data: bytes) -> None:
    with pytest.raises(MediaError, match=r"no image of a known format \(JPEG, PNG, "):
        stored_image(data, KEEP)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000"])
def test_a_image_cut_in_half_is_refused_in_one_line(maker: Maker, kind: str) -> None:
    data = maker.file(maker.image(64, 64), kind)
    with pytest.raises(MediaError, match="damaged") as caught:
        stored_image(data[: len(data) // 2], KEEP)
    assert "\n" not in str(caught.value)


def test_an_opened_image_whose_file_is_cut_in_half_is_refused(maker: Maker) -> None:
    data = maker.file(maker.image(64, 64), "PNG")
    with pytest.raises(MediaError, match="damaged"):
        stored_pixels(Image.open(io.BytesIO(data[: len(data) // 2])), ".png", KEEP)


def test_a_flipped_bit_in_a_png_is_noticed(maker: Maker) -> None:
    data = bytearray(maker.file(maker.image(), "PNG"))
    data[data.index(b"IDAT") + 100] ^= 4
    with pytest.raises(MediaError, match="damaged"):
        stored_image(bytes(data), KEEP)


def test_codes_that_a_jpegs_tables_do_not_have_are_noticed(maker: Maker) -> None:
    data = bytearray(maker.file(maker.image(240, 320), "JPEG"))
    middle = len(data) // 2
    data[middle : middle + 40] = b"\xff\x00" * 20  # all ones, which no code begins with for so long
    assert maker.opened(bytes(data)).size == (320, 240), "Pillow passes over it"
    with pytest.raises(MediaError, match="damaged"):
        stored_image(bytes(data), KEEP)


def test_a_jpeg_of_a_kind_that_libjpeg_turbo_does_not_know_is_taken_at_pillows_word(maker: Maker) -> None:
    data = bytearray(maker.file(Image.new("RGB", (16, 16), (90, 120, 30)), "JPEG"))
    components = data.index(b"\xff\xc0") + 10
    for number, sampling in enumerate((0x41, 0x12, 0x11)):
        data[components + 3 * number + 1] = sampling
    data[-2:] = bytes(200) + b"\xff\xd9"
    assert stored_image(bytes(data), KEEP).data == data


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from([*NORMALISED, "plain"]), data=st.data())
def test_whatever_the_damage_it_is_a_image_or_an_error_of_one_line(
    maker: Maker, kind: str, data: st.DataObject
) -> None:
    raw = bytearray(NORMALISED[kind][0](maker) if kind in NORMALISED else maker.file(maker.image(), "JPEG"))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(1, len(raw))) :]
    said, stored = _tried(bytes(raw))
    assert "\n" not in said
    assert bool(said) != bool(stored)
    assert not stored or maker.opened(stored).mode == "RGB"


def _tried(data: bytes) -> tuple[str, bytes]:
    """What is said of an image, or the bytes it is stored as."""
    try:
        return "", stored_image(data, ImageSettings(max_pixels=100_000)).data
    except ItemError as error:
        return str(error), b""


def test_a_bomb_is_refused_by_its_header(maker: Maker) -> None:
    # 30,000 x 30,000 pixels in a few hundred kilobytes; half a megapixel of them is all that would be looked at.
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(MediaError, match="more than 89478485 pixels"):
        stored_image(bomb, ImageSettings(max_pixels=1000))


@pytest.mark.parametrize(("width", "taken"), [(9459, True), (9460, False)])
def test_the_limit_of_pixels_is_exact(monkeypatch: pytest.MonkeyPatch, maker: Maker, width: int, taken: bool) -> None:
    from phi3v_data.converters.images import read

    monkeypatch.setattr(read, "MOST_PIXELS", 9459)
    data = maker.file(Image.new("L", (width, 1)), "PNG")
    if taken:
        assert stored_image(data, KEEP).suffix == ".png"
    else:
        with pytest.raises(MediaError, match="9460x1 pixels; at most 9459 are decoded"):
            stored_image(data, KEEP)


def test_the_limit_is_where_pillow_begins_to_warn() -> None:
    from phi3v_data.schema.image_formats import MOST_PIXELS

    assert MOST_PIXELS == Image.MAX_IMAGE_PIXELS


def test_a_text_that_expands_beyond_bounds_is_refused(maker: Maker) -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("bomb", "x" * (64 << 20), zip=True)
    with pytest.raises(MediaError, match="damaged"):
        stored_image(maker.file(maker.image(), "PNG", pnginfo=notes), KEEP)


@pytest.mark.parametrize(
    ("mode", "number", "said"),
    [("F", 0.5, "floating-point"), ("I", 100_000, "beyond 16 bits"), ("I", -1, "beyond 16 bits")],
)
def test_numbers_that_are_no_colours_are_refused(maker: Maker, mode: str, number: float, said: str) -> None:
    image = Image.new(mode, (4, 4), number)
    with pytest.raises(MediaError, match=said):
        stored_image(maker.file(image, "TIFF"), KEEP)


@pytest.mark.parametrize("chosen", [KEEP, ImageSettings(max_side=4), ImageSettings(fit_crops=1)])
def test_an_array_that_is_no_image_is_refused_whatever_the_settings(chosen: ImageSettings) -> None:
    with pytest.raises(ItemError, match="is not an image; expected uint8"):
        stored_pixels(np.zeros((8, 8, 7), np.float32), ".jpg", chosen)


def test_pixels_are_stored_under_the_suffix_asked_for_unless_a_format_is_chosen(maker: Maker) -> None:
    pixels = maker.pixels()
    for suffix, chosen, kind in [
        (".jpg", "keep", "JPEG"),
        (".png", "keep", "PNG"),
        (".jpg", "png", "PNG"),
        (".png", "jpeg", "JPEG"),
    ]:
        stored = stored_pixels(pixels, suffix, ImageSettings(image_format=chosen))  # type: ignore[arg-type]  # a literal
        assert maker.opened(stored.data).format == kind
        assert stored.suffix == {"JPEG": ".jpg", "PNG": ".png"}[kind]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "suffix", "kept", "near"),
    [
        ("baiona_color.jpg", ".jpg", True, 0),
        ("baiona_cmyk.jpg", ".jpg", False, 4),
        ("baiona_alpha.png", ".png", False, 1),
        ("baiona_colormapped.png", ".png", False, 1),
        ("baiona_gray.png", ".png", False, 9),
    ],
)
def test_one_real_image_looks_the_same_whatever_it_was_stored_as(
    real_data: Path, maker: Maker, name: str, suffix: str, kept: bool, near: float
) -> None:
    data = (real_data / "images" / name).read_bytes()
    stored = stored_image(data, KEEP)
    assert (stored.suffix, stored.data == data) == (suffix, kept)
    shown = np.asarray(maker.opened(stored.data)).astype(int)
    colours = np.asarray(Image.open(real_data / "images" / "baiona_color.jpg")).astype(int)
    assert np.abs(shown - colours).mean() <= near


@pytest.mark.real_data
def test_real_photographs_are_kept_and_an_interlaced_one_is_written_anew(real_data: Path, maker: Maker) -> None:
    photograph = (real_data / "images" / "grace_hopper_517x606.jpg").read_bytes()
    assert stored_image(photograph, KEEP).data == photograph
    interlaced = (real_data / "images" / "wizard_low-interlaced.png").read_bytes()
    stored = maker.opened(stored_image(interlaced, KEEP).data)
    assert (stored.format, stored.mode, stored.size, stored.info) == ("PNG", "RGB", (354, 471), {})


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["bad_huffman.jpg", "corrupt.jpg", "corrupt34_2.jpg"])
def test_a_damaged_real_image_is_refused(real_data: Path, name: str) -> None:
    with pytest.raises(MediaError, match="damaged"):
        stored_image((real_data / "corrupt" / name).read_bytes(), KEEP)
