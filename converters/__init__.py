"""From raw data to records, stage by stage; each stage's input and output:

    input       --input, or nothing              -> a folder of raw data: given, unpacked, or fetched from the hub
    registry    --source and its options         -> a converter, one of `sources`, which finds and converts items
    rows        a JSON, CSV, Parquet, Arrow file -> rows; a reference to an image, and the one reader of its bytes
    mapping, chat, questions   a row             -> an item: a sample of questions, answers and references to images
    folders     class folders, lists             -> an item a file, with its class and split (`splits`: by ratio)
    sample      an item                          -> its record, in any worker; `prompts`: the user's text
    video       a clip                           -> the frames that a sampling policy names
    images      an image's bytes or pixels       -> the form in which it is stored
    engine      all of it                        -> a dataset folder, on many workers, whatever stops it

`base` is the contract between a source and the engine; `template` a source to start one's own from.
"""
