"""Makes a random model of the true size of Stable Diffusion 1.5 or of SDXL, those that `cargo xtask parity --full` draws too.

    python full_model.py FOLDER sd15|sdxl

Speed and memory do not depend on the values of weights.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "fixtures"))
import full_size  # noqa: E402

full_size.kept(Path(sys.argv[1]), sys.argv[2])
