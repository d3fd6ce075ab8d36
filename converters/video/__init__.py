"""Frames of a video: the ones a sampling policy names, exactly those, upright, whichever library decodes them."""

from .frame import Frame
from .read import Decoder, decoder_versions, read_frames

__all__ = ["Decoder", "Frame", "decoder_versions", "read_frames"]
