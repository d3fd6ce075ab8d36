"""Where raw data comes from: a local path, an archive, an object store, the hub.

::

    resolve            what the user gave -> the address of a folder of raw data
    archives           tar, tar.gz, zip -> a folder
    archive_members    the members of a tar or zip, in turn; cut-off and damaged archives
    hostile_archives   what stops a hostile archive: names, kinds, collisions, limits
    hub                files of a dataset on the Hugging Face hub -> its cache, checked by hash
    hub_dataset        a dataset on the hub -> its splits and their files, as `datasets` sees them
    hub_stream         rows that only `datasets` can read
"""
