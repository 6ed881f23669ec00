"""Writes a picture enlarged to a square: what both sides of a measurement look at.

    python enlarge.py FROM TO SIDE

The file appears under its name only when it is complete.
"""

import sys
from pathlib import Path

from PIL import Image


def main():
    original, out, side = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    unfinished = out.with_suffix(".unfinished")
    Image.open(original).convert("RGB").resize((side, side), Image.BICUBIC).save(unfinished, "PNG")
    unfinished.rename(out)


if __name__ == "__main__":
    main()
