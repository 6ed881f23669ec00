"""Scores prompts through transformers: `score.py CLIP TEXTS.json OUT.safetensors PICTURE...`.

TEXTS holds a list of strings; OUT gets `cosines`, `[pictures, texts]`.
"""

import json
import sys

import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel, CLIPProcessor

folder, given, out, *pictures = sys.argv[1:]
model = CLIPModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
processor = CLIPProcessor.from_pretrained(folder, local_files_only=True)
with open(given) as file:
    texts = json.load(file)
images = [Image.open(picture) for picture in pictures]
inputs = processor(text=texts, images=images, padding=True, return_tensors="pt")
with torch.no_grad():
    output = model(**inputs)
save_file({"cosines": (output.image_embeds @ output.text_embeds.T).contiguous()}, out)
