"""Writes a random model of the true size of Stable Diffusion 1.5, the one that `cargo xtask parity --full` draws too, or of SDXL.

    python full_model.py OUT sd15|sdxl

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
    out, family = Path(sys.argv[1]), sys.argv[2]
    unfinished = out.with_name(out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    generator = torch.Generator().manual_seed(0)
    if family == "sdxl":
        full_size.write_xl(unfinished, generator)
    else:
        full_size.write(unfinished, family, generator)
    shutil.rmtree(out, ignore_errors=True)
    unfinished.rename(out)


if __name__ == "__main__":
    main()
