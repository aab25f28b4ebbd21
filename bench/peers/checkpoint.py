"""Reads the parameters of a Lockstep checkpoint; needs h5py and numpy."""
import glob
import os

import h5py
import numpy


def read_parameters(folder):
    """{name: array} of a checkpoint's folder. Each shard holds slices of arrays, one behind the other, and says where each begins."""
    shards = sorted(glob.glob(os.path.join(glob.escape(folder), "shard-*.h5")))
    if not shards:
        raise ValueError("there is no shard-*.h5 in it; name a checkpoint, such as runs/NAME/ckpt/step-00000000")
    flat, shape, held = {}, {}, {}
    for shard in shards:
        with h5py.File(shard, "r") as file:
            for name, part in file["params"].items():
                if name not in flat:
                    shape[name] = tuple(int(n) for n in part.attrs["shape"])
                    flat[name], held[name] = numpy.empty(numpy.prod(shape[name], dtype=int), part.dtype), 0
                values, place = part[:], 0
                begins = [int(n) for n in part.attrs["begin"]]
                ends = [int(n) for n in part.attrs["end"]] if "end" in part.attrs else [begins[0] + len(values)]
                for begin, end in zip(begins, ends):
                    flat[name][begin:end] = values[place : place + end - begin]
                    place += end - begin
                held[name] += place
    for name, values in flat.items():
        if held[name] != len(values):
            raise ValueError(f"its shards hold {held[name]} of the {len(values)} elements of {name}; a shard is missing")
    return {name: values.reshape(shape[name]) for name, values in flat.items()}
