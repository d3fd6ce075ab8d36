"""One conversion from start to end; each stage's input and output:

    run       a request                  -> a dataset folder and its summary; calls what follows, in this order
    plan      a source's discovery       -> every item in order, in a temporary file, with its digest
    state     the dataset folder         -> how far a conversion there is; the lock (`remote_state`: on a store)
    resume    plan, state                -> where the run resumes; the folder, brought to where work can begin
    finished  a finished dataset         -> the files it lacks; what is settled of it
    driver    plan, journal              -> work for the executor; its outcomes, noted in the journal
    pool      work, workers              -> outcomes; `local` runs workers as processes, `cluster` as Ray actors
    work      one item                   -> its images on disk, and its record or failure, as one outcome
    journal   outcomes, one a line       -> what became of each item, also after a kill
    assemble  plan, journal              -> JSONL, quarantine.jsonl, shards (`pack`), and last the manifest

`messages` are what driver and workers send, `settings` what shapes the bytes, `failures` who is to blame for an error.
"""
