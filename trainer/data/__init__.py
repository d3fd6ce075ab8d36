"""From records to batches, in stages; each stage sees only what the one before it yields.

::

    sources         the datasets of a run, and their shares
    index/          record -> where it lies; its tokens, crops and images' sizes        Arrow tables, memory-mapped
    training_data   the records that can be trained on, checked before anything is loaded
    plan            step -> its samples                          mixture, passes, permutation: a pure function
    deal            a step's samples -> ranks and micro-batches, by cost
    samples         sample -> ids, labels, scaled images                     prompt: the text; crops: the pixels
    collate         samples -> one packed row of ids, and the uint8 crops of all its images
    loader          all of it for one rank, from any step on

    shard_cache     copies of shards on this node's disk         read_ahead, steady_folder, patience: how they get there
    bad_samples     what could not be read, by name
"""
