"""Reads an identity file as its format's description says: `identity_file.py FILE`, and prints its tensors and metadata.

One JSON object: `tensors`, each with `dtype`, `shape` and the sum of its numbers, and `metadata`.
"""

import json
import sys

from safetensors import safe_open

with safe_open(sys.argv[1], framework="pt") as file:
    tensors = {name: file.get_tensor(name) for name in file.keys()}
    metadata = file.metadata()
found = {
    name: dict(dtype=str(tensor.dtype).removeprefix("torch."), shape=list(tensor.shape), sum=tensor.double().sum().item())
    for name, tensor in tensors.items()
}
print(json.dumps(dict(tensors=found, metadata=metadata)))
