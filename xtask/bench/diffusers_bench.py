"""One measurement of diffusers, printed as one JSON object: the Python half of `cargo xtask bench`.

    python diffusers_bench.py MODEL load|unet_step|train_step f32|bf16 RUNS THREADS [contiguous|channels_last]

Every measurement is a process of its own, so that its peak memory is its own too. The leanest known way is taken:
fused attention (the default of diffusers), frozen weights, a gradient of one token's embedding only.
"""

import sys
import time
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL, DDIMScheduler, DiffusionPipeline, EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from measuring import measure, report
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
LEARNED_POSITION = 5


# What loading a pipeline would import by itself: imports are no part of what is measured.
IMPORTED = (
    AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, CLIPTokenizer
)


def load(model, dtype, layout, device, runs):
    start = time.perf_counter()
    DiffusionPipeline.from_pretrained(model, dtype=dtype, local_files_only=True).to(device)
    return [time.perf_counter() - start]


def unet_step(model, dtype, layout, device, runs):
    """One guided denoising step: the U-Net at batch 2 on the model's own size, without gradient."""
    unet = frozen_unet(model, dtype, layout, device)
    latents, times = inputs(unet, 2, dtype, layout, device)
    states = torch.randn(2, 77, unet.config.cross_attention_dim).to(device, dtype)
    added = added_conditions(unet, torch.randn(2, 1280).to(device, dtype))

    @torch.no_grad()
    def step():
        unet(latents, times, states, added_cond_kwargs=added).sample

    return measure(step, runs, device)


def train_step(model, dtype, layout, device, runs):
    """One step of learning an embedding at batch 1: the gradient of the noise loss with respect to one token."""
    unet = frozen_unet(model, dtype, layout, device)
    classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
    folders = {Path(model) / name: cls for name, cls in classes.items() if (Path(model) / name).is_dir()}
    encoders = [cls.from_pretrained(folder, dtype=dtype).requires_grad_(False).to(device) for folder, cls in folders.items()]
    latents, times = inputs(unet, 1, dtype, layout, device)
    target = latents.float()
    ids = torch.arange(77, device=device)[None]
    tokens = [learned_token(encoder, dtype) for encoder in encoders]

    def step():
        if len(encoders) == 1:
            states, added = encoders[0](ids)[0], None
        else:
            outputs = [encoder(ids, output_hidden_states=True) for encoder in encoders]
            states = torch.cat([output.hidden_states[-2] for output in outputs], -1)
            added = added_conditions(unet, outputs[1].text_embeds)
        noise = unet(latents, times, states, added_cond_kwargs=added).sample.float()
        torch.autograd.grad(torch.nn.functional.mse_loss(noise, target), tokens)

    return measure(step, runs, device)


def learned_token(encoder, dtype):
    """A vector that stands in the place of one token's embedding and takes gradients."""
    table = encoder.get_input_embeddings()
    token = table.weight[LEARNED_POSITION].detach().float().clone().requires_grad_(True)

    def replace(_module, _inputs, embeds):
        learned = token.to(dtype)[None, None]
        return torch.cat([embeds[:, :LEARNED_POSITION], learned, embeds[:, LEARNED_POSITION + 1 :]], 1)

    table.register_forward_hook(replace)
    return token


def added_conditions(unet, pooled):
    """What SDXL is told beside the text: the pooled text state and the sizes of the picture."""
    if unet.config.addition_embed_type is None:
        return None
    side = 8 * unet.config.sample_size
    numbers = torch.tensor([[side, side, 0, 0, side, side]], device=pooled.device).expand(len(pooled), -1)
    return {"text_embeds": pooled, "time_ids": numbers}


def frozen_unet(model, dtype, layout, device):
    unet = UNet2DConditionModel.from_pretrained(model, subfolder="unet", dtype=dtype, local_files_only=True)
    return unet.requires_grad_(False).to(device, memory_format=layout)


def inputs(unet, batch, dtype, layout, device):
    side = unet.config.sample_size
    latents = torch.randn(batch, unet.config.in_channels, side, side)
    times = torch.full((batch,), 500, device=device)
    return latents.to(device, dtype, memory_format=layout), times


def main():
    model, what, dtype, runs, threads, *layout = sys.argv[1:]
    torch.manual_seed(0)
    torch.set_num_threads(int(threads))
    layout = torch.channels_last if layout == ["channels_last"] else torch.contiguous_format
    device = "cuda" if torch.cuda.is_available() else "cpu"
    measurement = {"load": load, "unet_step": unet_step, "train_step": train_step}[what]
    report(what, dtype, device, measurement(model, DTYPES[dtype], layout, device, int(runs)))


if __name__ == "__main__":
    main()
