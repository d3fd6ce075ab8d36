"""The record and its forms on disk. Knows no source and no model framework.

::

    record, errors    one conversation with its images; every error raised on purpose
    layout, jsonl     a dataset folder and its manifest; records, one a line
    shards, images    WebDataset tars with an index of where everything lies; images in files or in tars
    dataset           what DATA on the command line names -> its splits
    splits            a file's name -> the name of its split
    prompt, text      a record -> ids and labels; `special_tokens`: text that would change the parse
    vision_tokens     an image's size -> its crops and tokens
    index/            tables from headers alone: where records lie, what they cost, what their images are
    rules/            records and images -> findings
    select/           datasets -> a dataset: kept, dropped, sampled, divided again, joined
"""
