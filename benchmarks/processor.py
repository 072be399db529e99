"""Processor time of the programs that a benchmark has started."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

PROGRAMS = {
    "mapper": "services.mapper",
    "writer": "services.writer",
    "kafka": "kafka.Kafka",
    "postgres": "/postgres",
    "simorg": "syncline.simorg",
}
"""Name to how one word of its command line ends."""
HERTZ = os.sysconf("SC_CLK_TCK")


def spent() -> dict[str, float]:
    """Processor seconds so far of what this process has started, by name, its own as `bench`, and of everything else on
    the machine as `others`; so are servers that were given. Nothing where the system does not tell (no /proc)."""
    if not Path("/proc/stat").exists():
        return {}
    user, nice, kernel, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    everything = (user + nice + kernel + sum(interrupts[:2])) / HERTZ
    found: defaultdict[str, float] = defaultdict(float)
    processes = dict(_processes())
    for pid, (_, own, ended) in processes.items():
        name = "bench" if pid == os.getpid() else _program(pid, processes)
        if name:
            found[name] += own + (0.0 if name == "bench" else ended)
    return {**found, "others": everything - sum(found.values())}


def _processes() -> Iterator[tuple[int, tuple[int, float, float]]]:
    """Process id to its parent's, and to the seconds of itself and of its children that have ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended meanwhile
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            user, kernel, users, kernels = map(int, words[11:15])
            yield int(folder.name), (int(words[1]), (user + kernel) / HERTZ, (users + kernels) / HERTZ)


def _program(pid: int, processes: Mapping[int, tuple[int, float, float]]) -> str | None:
    """What this process has started it as, or one above it."""
    while pid in processes and processes[pid][0] != os.getpid():
        pid = processes[pid][0]
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0") if pid in processes else []
        return next((name for name, word in PROGRAMS.items() if any(each.endswith(word) for each in words)), None)
    return None
