"""Secrecy: what the memory of this process holds is kept from core files and from other processes of the same user.

Rule: it is the first thing that the program does, before it has read a secret; where the machine offers none of it, the program runs on.
"""

import ctypes
import resource
from contextlib import suppress
from typing import Final

PR_SET_DUMPABLE: Final = 4  # linux/prctl.h


def keep_to_itself() -> None:
    """No core file, neither written nor piped to a collector; /proc/PID/environ, mem and maps, and ptrace, are root's alone.

    The limit alone is not enough: a collector named in core_pattern is not bound by it. Programs started from here begin anew.
    """
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
