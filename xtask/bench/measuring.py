"""What the Python halves of `cargo xtask bench` share: timing, and the line that a measurement prints."""

import json
import statistics
import time
from pathlib import Path

import torch


def measure(step, runs, device):
    """One run to warm up, then the timed ones."""
    step()
    seconds = []
    for _ in range(runs):
        synchronize(device)
        start = time.perf_counter()
        step()
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def peak_rss_mb():
    """The most memory this process ever had resident, as the kernel counts it."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


def report(what, dtype, device, seconds):
    result = {
        "what": what,
        "dtype": dtype,
        "device": f"{device} {dtype}",
        "seconds": statistics.median(seconds),
        "runs": len(seconds),
        "peak_rss_mb": peak_rss_mb(),
    }
    print(json.dumps(result))
