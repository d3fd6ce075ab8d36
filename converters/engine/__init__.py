"""One conversion from start to end; each stage's input and output:

    run       a request                  -> a dataset folder and its summary; calls what follows, in this order
    header    a source, its options      -> what shapes the bytes; `run.json`
    state     the dataset folder         -> how far a conversion there is; the lock; on this machine or a store
    plan      a source's discovery       -> every item in order, in a temporary file, with its digest
    resume    plan, state                -> where the run resumes; the folder, brought to where work can begin
    pool      work, workers              -> outcomes; `local` runs workers as processes, `cluster` as Ray actors
    work      one item                   -> its images on disk, and its record or failure, as one outcome
    journal   outcomes, one a line       -> what became of each item, also after a kill
    assemble  plan, journal              -> JSONL, quarantine.jsonl, shards, and last the manifest

The process of `run` is the driver. `messages` are what it and its workers send each other, `failures` says who is to
blame for an error, `image_files` looks after the images on disk.
"""
