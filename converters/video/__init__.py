"""Frames of a video: exactly those that a sampling policy names, upright, whichever library decodes them.

read.py            a clip and a policy -> frames, by the decoder chosen; an item's clip -> images, by name
sampling.py        the policy: which frames of a clip are taken
container.py       opens a clip, reads its packets, refuses one that is cut short
pyav_frames.py     decodes with PyAV; how frames are skipped: the packets that the wanted frames need
packet_headers.py  what a packet says of its frame: random access point, reference, presentation order
other_decoders.py  decodes with decord or OpenCV, and compares with PyAV
upright.py         turns frames as the clip's metadata says, and makes pixels square
synthesis.py       writes clips, for the demo, tests and benchmarks
"""

from .read import Decoder, decoder_versions, read_frames
from .sampling import Frame

__all__ = ["Decoder", "Frame", "decoder_versions", "read_frames"]
