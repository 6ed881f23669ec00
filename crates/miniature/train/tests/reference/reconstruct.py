"""Reconstructs pictures with an autoencoder through diffusers: `reconstruct.py VAE IN.safetensors OUT.safetensors`.

IN holds `images`, `[batch, 3, height, width]` in -1..1. OUT gets `latents`, scaled as a U-Net wants them, and `decoded`.
"""

import sys

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file

folder, given, out = sys.argv[1:]
vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32, local_files_only=True)
with torch.no_grad():
    latents = vae.encode(load_file(given)["images"]).latent_dist.mean * vae.config.scaling_factor
    decoded = vae.decode(latents / vae.config.scaling_factor).sample
save_file({"latents": latents.contiguous(), "decoded": decoded.contiguous()}, out)
