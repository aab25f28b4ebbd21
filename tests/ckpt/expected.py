"""The arrays of a checkpoint as docs/checkpoint-format.md tells how to read them: from the bytes of the shards, without HDF5."""
import json
import os
import sys

import numpy

TYPES = {"f32": "<f4", "f64": "<f8", "i32": "<i4", "u8": "u1"}
folder = sys.argv[1]
with open(os.path.join(folder, "manifest.json")) as file:
    manifest = json.load(file)
for array in manifest["arrays"]:
    values = numpy.empty(int(numpy.prod(array["shape"])), TYPES[array["type"]])
    for shard, begin, end, at in array["cuts"]:
        path = os.path.join(folder, manifest["files"][shard]["name"])
        values[begin:end] = numpy.fromfile(path, values.dtype, end - begin, offset=at)
    values = values.reshape(array["shape"])
    print(array["name"], values.dtype, values.shape, "%.9g" % values.sum(dtype="f8"))
