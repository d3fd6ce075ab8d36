"""A dataset or runs -> pages that open from `file://`, without a server or a network.

::

    dataset   every split in chunks of records, by several worker processes
      look      one chunk: each record's prompt, tokens, image sizes          -> data/records/<split>-<chunk>.js
                its thumbnails                                               -> data/sprites/<split>-<sprite>.webp
      model_view  what the model sees of an image                            -> data/model/...
    tally     numbers of all records -> distributions, and columns to sort and filter by
    problems  findings of `validate`, near-duplicates, quarantined items
    runs      run folders -> curves, settings, predictions beside their images
    pages/    the templates, styles and scripts, copied as they are

Data is text: each file of data hands one string of JSON to the page, which writes it into text nodes. The pages carry a
Content-Security-Policy under which nothing else runs.
"""
