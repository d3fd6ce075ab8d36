"""Cards: `README.md` of a dataset or a model, with the front matter that the Hugging Face hub reads.

::

    facts         a dataset  -> counts, labels, sizes, tokens, what is in two splits at once
    source_text   a source   -> its own text: origin, licence, intended use, known biases (one file a source)
    dataset_card  facts      -> front matter and sections
    model_card    a run      -> front matter and sections
    sections      both       -> README.md; sections that a person edited stay as they are
"""
