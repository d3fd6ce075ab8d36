"""Files in folders named for their class: how they lie, and the sources that ask which class each is of."""
