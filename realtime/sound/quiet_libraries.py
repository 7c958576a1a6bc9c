"""Foreign libraries keep quiet: what PortAudio and ALSA print would spoil the display and the messages."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Within this context only Python writes to standard error; what C code prints there is lost.

    They complain on the descriptor itself, from threads of their own, whenever a device goes away; we tell
    the same in our words. Does nothing where standard error is no real file.
    """
    python_stream = sys.stderr
    try:
        is_ours = python_stream.fileno() == 2
    except (AttributeError, OSError, io.UnsupportedOperation):
        is_ours = False
    if not is_ours:
        yield
        return
    python_stream.flush()
    kept = os.dup(2)
    own = os.fdopen(os.dup(2), "w", encoding=python_stream.encoding, errors=python_stream.errors, buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = own
    try:
        yield
    finally:
        own.flush()
        os.dup2(kept, 2)
        os.close(kept)
        sys.stderr = python_stream
        own.close()
