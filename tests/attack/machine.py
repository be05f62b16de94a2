"""What others do on this machine: who measures beside them measures them, too."""

import os
import pathlib

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def used_seconds():
    """CPU seconds of all programs since the machine's start, and what its host kept for itself."""
    user, nice, system, _, _, _, _, steal, *_ = \
        map(int, pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:])
    return (user + nice + system + steal) * TICK_S


def seconds_of(pid):
    """Of a program that runs; 0 if it doesn't."""
    try:
        # The name in brackets may have spaces.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) * TICK_S


class Others:
    """Counts the cores that others use from now on. `pids` are ours, of processes that run; those that
    we start and that end meanwhile are ours as well."""

    def __init__(self, pids):
        self._pids = pids
        self._used, self._ours = used_seconds(), self._ours_now()

    def cores(self, seconds):
        used, ours = used_seconds() - self._used, self._ours_now() - self._ours
        return max(0.0, used - ours) / max(seconds, TICK_S)

    def _ours_now(self):
        own = os.times()
        ended = own.children_user + own.children_system
        return own.user + own.system + ended + sum(map(seconds_of, self._pids))
