"""The tiny Stable Diffusion of `tests/fixtures/pipelines/sd2v` as other tools leave it: pickled.

diffusers itself writes the U-Net in shards with their index, and the autoencoder as its fp16 variant; the text encoder
is one file under the name that transformers gives it. Only the weights are written: all other files are those of the
original.
"""

import argparse
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file

ORIGINAL = Path(__file__).parents[2] / "tests/fixtures/pipelines/sd2v"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "model", help="folder for the files")
    args = parser.parse_args()
    parts = [(UNet2DConditionModel, "unet", {"max_shard_size": "120KB"}), (AutoencoderKL, "vae", {"variant": "fp16"})]
    for kind, name, options in parts:
        network = kind.from_pretrained(ORIGINAL / name, torch_dtype=torch.float16)
        network.save_pretrained(args.out / name, safe_serialization=False, **options)
        (args.out / name / "config.json").unlink()
    folder = args.out / "text_encoder"
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(load_file(ORIGINAL / "text_encoder/model.safetensors"), folder / "pytorch_model.bin")


if __name__ == "__main__":
    main()
