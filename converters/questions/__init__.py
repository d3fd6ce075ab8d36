"""Annotation files beside images, and tables that hold both: what the sources of questions have in common.

`source` is their base; `files` knows every file below the input, `forms` makes items of an annotation file's rows, and
`conversations` brings rows about one image together. A form is one way in which a data set is published; `cauldron` is
the one that several of them share.
"""
