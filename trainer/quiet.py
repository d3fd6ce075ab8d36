"""Keep the libraries' own log lines off a person's terminal; what they raise still arrives."""

from __future__ import annotations

import logging
import warnings


def quiet_libraries() -> None:
    """Let only errors of the libraries below through, and no progress bars; to be called before they are imported.

    A program that embeds the trainer decides for itself; only the command line calls this.
    """
    # A filter, for some of them set their own levels when they are imported.
    for name in ("bitsandbytes.backends.cpu.ops", "DeepSpeed"):
        logging.getLogger(name).addFilter(lambda entry: entry.levelno >= logging.ERROR)
    # One library's call of another's old name is nothing its user can fix.
    for module in (r"transformers\.", r"torch\.distributed\."):
        warnings.filterwarnings("ignore", category=FutureWarning, module=module)
    # Said of a checkpoint in a single process, where that is what is meant.
    warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
