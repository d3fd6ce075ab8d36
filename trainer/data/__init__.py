"""From records to batches, in stages; each stage sees only what the one before it yields.

::

    sources         the datasets of a run, and their shares; splits: which split of each
    index/          record -> where it lies; its tokens, supervised tokens, crops       Arrow tables, memory-mapped
    training_data   the records that can be trained on, checked before anything is loaded
    plan            step -> its samples                          mixture, passes, permutation: a pure function
    cost_model      a sample's size -> the operations it takes with the run's strategy
    assign          a step's samples -> ranks and micro-batches, balanced by cost, within a budget
    samples         sample -> ids, labels, scaled images                     prompt: the text; crops: the pixels
    collate         samples -> one packed row of ids, and the uint8 crops of all its images
    loader          all of it for one rank, from any step on
    step_batches    the loader's micro-batches, step after step; device_batches: on the device, one ahead

    shard_cache     copies of shards on this node's disk        read_ahead, steady_folder: how they get there
    bad_samples     what could not be read, by name
"""
