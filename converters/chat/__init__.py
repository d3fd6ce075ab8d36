"""Conversations in the formats of others: LLaVA, ShareGPT, OpenAI and TRL files, read and written; Alpaca files, read.

`messages` reads a row of any of them, `rows` makes a sample of its messages, `export` writes rows of records. What a
record has and these formats lack (its source, its meta, further answers) is in each row under one key of ours, which
their readers pass over; so a record that is exported and read again is the same.
"""
