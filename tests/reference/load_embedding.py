"""Draws with an embedding file through diffusers: `load_embedding.py MODEL EMBEDDING TOKEN PROMPT SEED STEPS OUT.png`.

Prints nothing; writes the picture that diffusers makes of PROMPT, in which TOKEN stands for the embedding.
"""

import json
import sys

import diffusers
import torch

model, embedding, token, prompt, seed, steps, out = sys.argv[1:]
pipe = diffusers.StableDiffusionPipeline.from_pretrained(
    model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True
)
# The pipeline edits the scheduler's settings when it is made; the file's own are wanted.
with open(f"{model}/scheduler/scheduler_config.json") as file:
    pipe.scheduler = diffusers.DDIMScheduler.from_config(json.load(file))
pipe.set_progress_bar_config(disable=True)
pipe.load_textual_inversion(embedding, token=token)
picture = pipe(
    prompt,
    num_inference_steps=int(steps),
    guidance_scale=4.0,
    height=128,
    width=128,
    generator=torch.Generator("cpu").manual_seed(int(seed)),
).images[0]
picture.save(out)
