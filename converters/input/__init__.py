"""Where raw data comes from: a local path, an archive, an object store, the hub.

::

    resolve            what the user gave -> the address of a folder of raw data
    archives           tar, tar.gz, zip -> a folder; cut-off and damaged archives
    hostile_archives   what stops a hostile archive: names, kinds, collisions, limits
    hub                files of a dataset on the Hugging Face hub -> its cache, checked by hash
    hub_dataset        a dataset on the hub, as `datasets` sees it: its splits, their files, and rows it alone can read
"""
