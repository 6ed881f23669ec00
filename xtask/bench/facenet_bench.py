"""Finding the faces of a photo with facenet-pytorch, measured: a Python half of `cargo xtask bench`.

    python facenet_bench.py PHOTO detect f32 RUNS THREADS

The photo is decoded before, as on the other side. Prints one JSON object.
"""

import sys

import torch
from facenet_pytorch import MTCNN
from measuring import measure, report
from PIL import Image


def main():
    photo, what, dtype, runs, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    picture = Image.open(photo).convert("RGB")
    detector = MTCNN(keep_all=True, device=torch.device(device))

    def detect():
        boxes, _scores, _landmarks = detector.detect(picture, landmarks=True)
        assert boxes is not None, "no face was found"

    report(what, dtype, device, measure(detect, int(runs), device))


if __name__ == "__main__":
    main()
