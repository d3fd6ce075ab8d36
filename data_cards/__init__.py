"""Datasets and runs for people: cards that travel with them, and reports to look at.

::

    report/   records, images and findings -> pages that open from file://
    cards/    manifest, records, one text a source -> README.md with Hugging Face front matter
    push      a dataset or a model -> the hub
"""
