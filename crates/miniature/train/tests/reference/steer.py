"""What a ControlNet adds to a U-Net, through diffusers: `steer.py CONTROLNET IN.safetensors OUT.safetensors`.

IN holds `latents` and `timesteps`, the text `states`, and the `picture` in 0..1. OUT gets `skip_0` and so on, and `middle`.
"""

import sys

import torch
from diffusers import ControlNetModel
from safetensors.torch import load_file, save_file

folder, given, out = sys.argv[1:]
net, report = ControlNetModel.from_pretrained(
    folder, torch_dtype=torch.float32, local_files_only=True, output_loading_info=True
)
assert not any(report.values()), report
x = load_file(given)
with torch.no_grad():
    skips, middle = net(x["latents"], x["timesteps"], x["states"], controlnet_cond=x["picture"], return_dict=False)
tensors = {f"skip_{index}": skip.contiguous() for index, skip in enumerate(skips)}
save_file({**tensors, "middle": middle.contiguous()}, out)
