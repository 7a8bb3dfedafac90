"""How much memory a process has held."""

import os
import sys
from pathlib import Path


def peak_memory(process: int | None = None) -> int | None:
    """Largest resident memory that a process has held so far, bytes; of this one by default.

    None where the system doesn't tell: of processes that have ended, of others than this one off Linux, or on
    Windows. Linux's `ru_maxrss` won't do: a program's begins at the peak of the process that started it.
    """
    if sys.platform == "linux":
        try:
            status = Path(f"/proc/{process or 'self'}/status").read_text()
        except OSError:
            return None
        peaks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(peaks[0]) * 1024 if peaks else None
    if os.name != "posix" or process is not None:
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
