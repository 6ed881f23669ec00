"""Draws with embeddings that take turns: `staged_embeddings.py MODEL FOLDER SAMPLER SETTINGS SEED STEPS OUT.png HOW WHAT`.

FOLDER holds the embeddings `NAME-1.safetensors` and so on, SETTINGS is JSON of what is told the sampler otherwise. HOW is `prompt`: WHAT is a prompt with `[a:b:WHEN]` in it, read as
AUTOMATIC1111's web interface does; or `workflow`: WHAT is a file with nodes of a ComfyUI workflow, whose timestep ranges are read
as ComfyUI does. Both rules are restated here. Prints the text of each step as JSON; writes the picture that diffusers makes of them.
"""

import json
import re
import sys
from pathlib import Path

import diffusers
import torch

model, folder, sampler, settings, seed, steps, out, how, what = sys.argv[1:]
steps = int(steps)

pipe = diffusers.StableDiffusionPipeline.from_pretrained(
    model, torch_dtype=torch.float32, safety_checker=None, local_files_only=True
)
with open(f"{model}/scheduler/scheduler_config.json") as file:
    config = json.load(file) | json.loads(settings)
pipe.scheduler = getattr(diffusers, sampler).from_config(config)
pipe.set_progress_bar_config(disable=True)
for file in sorted(Path(folder).glob("*-*.safetensors")):
    pipe.load_textual_inversion(str(file), token=f"<{file.stem}>")
pipe.scheduler.set_timesteps(steps)
timesteps = [float(timestep) for timestep in pipe.scheduler.timesteps]


def editing(text):
    """For each step the text that prompt editing makes of it: AUTOMATIC1111, `modules/prompt_parser.py`."""
    part = re.compile(r"\[([^\[\]:]*):([^\[\]:]*):([0-9.]+)\]")

    def when(number):
        return min(steps, int(float(number) * steps if "." in number else int(number)))

    def at(end):
        """The text of the stretch that ends with step `end`, counted from 1."""
        known = text
        while part.search(known):
            known = part.sub(lambda found: found[1] if end <= when(found[3]) else found[2], known)
        return known

    numbers = re.findall(r":([0-9.]+)\]", text)
    ends = sorted({steps} | {when(number) for number in numbers if when(number) >= 1})
    # The running step is counted from 0.
    return [at(next(end for end in ends if step <= end)) for step in range(steps)]


def ranges(nodes):
    """For each step the one text whose range holds its noise level: ComfyUI, `percent_to_sigma` and `get_area_and_mult`."""
    cumprod = pipe.scheduler.alphas_cumprod
    log_sigmas = (((1 - cumprod) / cumprod) ** 0.5).log().float()

    def sigma(timestep):
        timestep = torch.clamp(torch.tensor(timestep, dtype=torch.float32), 0, len(log_sigmas) - 1)
        low, high, weight = timestep.floor().long(), timestep.ceil().long(), timestep.frac()
        return ((1 - weight) * log_sigmas[low] + weight * log_sigmas[high]).exp().item()

    def percent_to_sigma(percent):
        if percent <= 0:
            return 999999999.9
        return 0.0 if percent >= 1 else sigma((1.0 - percent) * 999.0)

    def leaves(name):
        node = nodes[name]
        inputs = node["inputs"]
        if node["class_type"] == "ConditioningCombine":
            return leaves(inputs["conditioning_1"][0]) + leaves(inputs["conditioning_2"][0])
        assert node["class_type"] == "ConditioningSetTimestepRange"
        text = nodes[inputs["conditioning"][0]]["inputs"]["text"]
        return [(percent_to_sigma(inputs["start"]), percent_to_sigma(inputs["end"]), text)]

    found = leaves("conditioning")
    texts = []
    for timestep in timesteps:
        held = [text for start, end, text in found if end <= sigma(timestep) <= start]
        assert len(held) == 1, (timestep, held)
        texts.append(held[0].replace("embedding:", ""))
    return texts


texts = editing(what) if how == "prompt" else ranges(json.loads(Path(what).read_text()))
embeds, states = {}, None
for text in dict.fromkeys(texts):
    tokens = re.sub(r"\b([a-z]+-[0-9]+)\b", r"<\1>", text)
    conditional, unconditional = pipe.encode_prompt(tokens, "cpu", 1, True)
    embeds[text] = torch.cat([unconditional, conditional])


def switch(pipe, step, timestep, tensors):
    return {"prompt_embeds": embeds[texts[min(step + 1, steps - 1)]]}


first = embeds[texts[0]]
picture = pipe(
    prompt_embeds=first[1:], negative_prompt_embeds=first[:1], num_inference_steps=steps, guidance_scale=4.0, height=128, width=128,
    generator=torch.Generator("cpu").manual_seed(int(seed)), callback_on_step_end=switch,
    callback_on_step_end_tensor_inputs=["prompt_embeds"],
).images[0]
picture.save(out)
print(json.dumps(texts))
