"""A dataset from datasets: records are chosen, repaired, sampled, split again and joined, and written in one way.

::

    reading        the lines of a dataset, each with its place and its images
    joining        several datasets: their names, and ids and paths that stay apart
    fields         what is known of a record by name: id, label, answer ...
    conditions     `--where`: an expression over fields, evaluated without `eval`
    criteria       `--keep` and `--drop`
    found          what the validator found, by record and by image
    sampling       a seeded sample, also in proportion to labels
    components     records that must stay together: groups, identical images, identical records
    splitting      records to splits, by group, by ratio or by label
    place          a folder to write to: checked first, there whole or not at all
    output_images  images that are written: copied, or linked
    writing        the one writer: records, images, shards, quarantine, manifest
    selection      `phi3v-data select`
    repairs        what can be repaired in a record and in an image
    fixer          what becomes of one record: repaired, or quarantined by a finding
    fixing         `phi3v-data validate --fix`
"""
