"""Import torchaudio beside a torch that has no CUDA.

torchaudio 2.11 is published as one wheel that links CUDA's libraries; beside a CPU-only torch its
import fails with "libc10_cuda.so: cannot open shared object file". Only its compiled extension needs
them, and nothing here uses that, so where torch has no CUDA the extension is declared absent first.
"""

import sys
from types import ModuleType
from typing import Any

import torch


def import_torchaudio_functional() -> Any:
    """Return the module `torchaudio.functional`, on a torch with or without CUDA."""
    name = "torchaudio._extension"
    if torch.version.cuda is None and name not in sys.modules:
        absent = ModuleType(name)
        vars(absent).update(
            __path__=[],
            _IS_TORCHAUDIO_EXT_AVAILABLE=False,
            _IS_ALIGN_AVAILABLE=False,
            _check_cuda_version=lambda: None,
            fail_if_no_align=lambda function: function,
        )
        sys.modules[name] = absent
    import torchaudio.functional

    return torchaudio.functional
