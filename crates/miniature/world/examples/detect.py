"""Does a detector that was trained on photos find the drawn faces?

Reads a sheet of portraits and its truth, enlarges each picture twice, runs facenet-pytorch's MTCNN and prints the
share of faces found with an overlap (intersection over union) of at least 0.4, and how far the landmarks are off.

    cargo run --release -p idembed-world --example sheet -- --portraits --columns 20 --rows 25 \\
        --out out/portraits.png > out/portraits.jsonl
    .python/env/bin/python crates/miniature/world/examples/detect.py out/portraits.png out/portraits.jsonl --columns 20
"""

import argparse
import json

import numpy as np
import torch
from facenet_pytorch import MTCNN
from PIL import Image


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    area = lambda box: (box[2] - box[0]) * (box[3] - box[1])
    return both / (area(a) + area(b) - both)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet")
    parser.add_argument("truth", help="one line of JSON for each picture")
    parser.add_argument("--columns", type=int, required=True, help="pictures side by side")
    parser.add_argument("--enlarge", type=int, default=2)
    args = parser.parse_args()

    torch.set_num_threads(1)
    sheet = Image.open(args.sheet)
    side = sheet.width // args.columns
    detector = MTCNN(keep_all=True)
    overlaps, errors, missed = [], [], []
    with open(args.truth) as lines:
        for index, line in enumerate(lines):
            x, y = index % args.columns * side, index // args.columns * side
            picture = sheet.crop((x, y, x + side, y + side))
            picture = picture.resize((args.enlarge * side, args.enlarge * side), Image.BICUBIC)
            boxes, _, landmarks = detector.detect(picture, landmarks=True)
            for face in json.loads(line)["faces"]:
                wanted = [args.enlarge * edge for edge in face["bounds"]]
                found = [overlap(wanted, box) for box in boxes] if boxes is not None else [0.0]
                best = int(np.argmax(found))
                overlaps.append(found[best])
                if found[best] < 0.4:
                    missed.append(index)
                    continue
                off = np.asarray(landmarks[best], dtype=float) - args.enlarge * np.asarray(face["landmarks"])
                errors.append(np.linalg.norm(off, axis=1) / (wanted[3] - wanted[1]))
    share = 1.0 - len(missed) / len(overlaps)
    print(f"{len(overlaps)} faces, {100 * share:.1f} % found, mean overlap {np.mean(overlaps):.3f}")
    print("landmarks off by, in heights of the face:", np.mean(errors, axis=0).round(3))
    print("missed in pictures:", missed)


if __name__ == "__main__":
    main()
