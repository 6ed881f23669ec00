"""Writes the random model of the true size of Stable Diffusion 1.5 that `cargo xtask parity --full` draws too.

    python full_model.py OUT

Speed and memory do not depend on the values of weights. The folder appears under its name only when it is complete.
"""

import shutil
import sys
from pathlib import Path

import torch

FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
sys.path[:0] = [str(FIXTURES), str(FIXTURES / "pipelines")]
import full_size  # noqa: E402


def main():
    out = Path(sys.argv[1])
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    full_size.write(unfinished, "sd15", torch.Generator().manual_seed(0))
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


if __name__ == "__main__":
    main()
