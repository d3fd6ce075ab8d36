"""Images of every format that is read, through the reader that the converters use."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, features

from phi3v_data.converters.images import ImageSettings
from phi3v_data.converters.images.store import stored_image

SETTINGS = ImageSettings(max_side=32)


def corpus(folder: Path) -> None:
    gradient = Image.linear_gradient("L").resize((40, 24))
    colours = Image.merge("RGB", (gradient, gradient.rotate(180), gradient))
    for suffix in ("jpg", "png", "bmp", "ppm", "tif", "gif", "jp2", "webp"):
        if suffix != "webp" or features.check("webp"):
            colours.save(folder / f"plain.{suffix}")
    colours.save(folder / "progressive.jpg", progressive=True, exif=Image.Exif())
    colours.convert("CMYK").save(folder / "cmyk.jpg")
    colours.quantize(16).save(folder / "palette.png", transparency=3)
    gradient.convert("I;16").save(folder / "deep.png")
    colours.convert("RGBA").save(folder / "deflated.tif", compression="tiff_adobe_deflate")
    colours.save(folder / "frames.gif", save_all=True, append_images=[colours.rotate(90)])


def check(file: Path) -> None:
    stored_image(file.read_bytes(), SETTINGS)
