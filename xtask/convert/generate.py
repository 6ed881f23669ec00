"""Pickled weights in every form that the conversion has to read, and the same tensors as safetensors.

`zip.pt` is what torch.save writes today, `legacy.pt` what it wrote before version 1.6, `training.pt` a checkpoint with what a
training needs beside the weights; all hold the tensors of `expected.safetensors`. `double.pt` holds numbers that are not
converted. `embedding.pt` is an embedding as AUTOMATIC1111's web UI writes it, `parameters.pt` one as the code of textual inversion
did, `two-words.pt` one that no tool reads. `hostile.pt` makes the folder `pickle-ran` when it is unpickled.
"""

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file


def state_dict(generator):
    """Contiguous, transposed, strided and shared tensors, a scalar, an empty one, batch counters."""
    base = torch.randn(6, 5, generator=generator)
    kernel = torch.randn(4, 3, 2, 2, generator=generator)
    return OrderedDict(
        {
            "conv1.weight": kernel,
            "conv1.bias": torch.randn(4, generator=generator),
            "dense.weight": base.t(),
            "dense.part": base[1:, ::2],
            "dense.shared": base,
            "prelu.weight": torch.randn(4, generator=generator),
            "channels_last.weight": kernel.to(memory_format=torch.channels_last),
            "bn.num_batches_tracked": torch.tensor(int(torch.randint(1 << 40, (1,), generator=generator))),
            "bn.running_var": torch.rand(7, generator=generator),
            "expanded": torch.randn(1, 3, generator=generator).expand(4, 3),
            "scalar": torch.randn((), generator=generator),
            "half": torch.randn(5, 3, generator=generator).to(torch.float16),
            "bfloat": torch.randn(3, 7, generator=generator).to(torch.bfloat16),
            "empty": torch.zeros(0, 3),
        }
    )


class Hostile:
    """What is unpickled as the result of a call."""

    def __reduce__(self):
        return os.mkdir, ("pickle-ran",)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder for the files")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    tensors = state_dict(torch.Generator().manual_seed(args.seed))
    torch.save(tensors, args.out / "zip.pt")
    torch.save(tensors, args.out / "legacy.pt", _use_new_zipfile_serialization=False)
    training = {"epoch": 3, "global_step": 470000, "state_dict": tensors, "optimizer_states": [{"exp_avg": torch.ones(2)}]}
    torch.save(training, args.out / "training.pt")
    expected = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    save_file(expected, args.out / "expected.safetensors")
    torch.save({"weight": torch.zeros(2, dtype=torch.float64)}, args.out / "double.pt")
    vectors = tensors["dense.shared"]
    word = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors}, "name": "cat", "step": 500, "sd_checkpoint": None}
    torch.save(word, args.out / "embedding.pt")
    parameters = torch.nn.ParameterDict({"*": torch.nn.Parameter(vectors.clone())})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, args.out / "parameters.pt")
    torch.save({"string_to_param": {"a": vectors, "b": vectors}}, args.out / "two-words.pt")
    torch.save({"weight": torch.zeros(2), "bait": Hostile()}, args.out / "hostile.pt", pickle_module=pickle)


if __name__ == "__main__":
    main()
