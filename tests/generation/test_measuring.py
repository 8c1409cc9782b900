"""The peak of memory is what the system says this process has held."""

from __future__ import annotations

import json
import subprocess
import sys

# In a process of its own: one that ran other tests has held more, and has free pages for this.
_SCRIPT = """
import json, psutil
from fathom.generation.measuring import peak_memory
before, resident = peak_memory("cpu"), psutil.Process().memory_info().rss
held = b"1" * (before - resident + 2**28)
during = peak_memory("cpu")
del held
print(json.dumps([before, resident, during, peak_memory("cpu")]))
"""


def test_the_peak_grows_with_what_is_held_and_stays() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, check=True)
    before, resident, during, after = json.loads(done.stdout)
    assert before >= resident * 0.99  # the system counts in batches, so to about a percent
    assert before + 2**28 * 0.75 < during < before + 2**28 * 1.25
    assert after >= during * 0.99
