"""Encodes texts through transformers: `encode.py TOKENIZER TEXTS.json IDS.json`.

TEXTS holds a list of strings; IDS gets a list of lists of ids, each framed, cut and padded to the tokenizer's length.
"""

import json
import sys

from transformers import CLIPTokenizer

folder, given, out = sys.argv[1:]
tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
with open(given) as file:
    texts = json.load(file)
with open(out, "w") as file:
    json.dump(tokenizer(texts, padding="max_length", truncation=True).input_ids, file)
