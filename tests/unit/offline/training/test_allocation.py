import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from offline.training.allocation import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def step():
    layers = [np.ones(1 << 22, np.float32) for _ in range(4)]
step()
before = faults()
for _ in range(8):
    step()
print(faults() - before)
"""


def faults(how):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, timeout=60, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library has no such choice")
def test_what_is_freed_is_used_again_without_a_fault():
    assert faults("keep") < 0.05 * faults("give back")
