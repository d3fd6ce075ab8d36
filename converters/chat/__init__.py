"""Conversations as others keep them: LLaVA, ShareGPT, OpenAI and TRL files, read and written.

`messages` reads a row of any of them, `writing` makes one of a record, and both place images by `marks`. What a
record has and these formats have not (its source, its meta, further answers) stands in each row under one key of ours,
which their readers pass over; so there and back is the identity.
"""
