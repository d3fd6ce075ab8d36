"""Annotation files beside images, and tables that hold both: what the sources of questions have in common.

`source` is their base; `annotations` finds files and makes items of their rows, `shared_images` brings those about one
image together. A form is one way in which a data set is published; `cauldron` is the one that several of them share.
"""
