# A recipe for Spack. It has not been tried: see docs/clusters.md.
from spack.package import *


class Lockstep(CMakePackage, CudaPackage):
    """Trains language models in C; the weights are the same bits on any number of ranks."""

    # Set this to where the project is cloned from; or, in a clone: spack dev-build lockstep@main
    git = "lockstep.git"
    license("MIT")
    version("main", branch="main")

    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3:")
    depends_on("hdf5~mpi")
    depends_on("openblas threads=openmp")
    depends_on("libyaml")
    depends_on("cjson")
    depends_on("xxhash")
    depends_on("pcre2")
    depends_on("zlib-api")
    depends_on("zstd")
    depends_on("nccl", when="+cuda")

    def cmake_args(self):
        args = [self.define("LOCKSTEP_CUDA", "ON" if self.spec.satisfies("+cuda") else "OFF")]
        if self.spec.satisfies("+cuda"):
            archs = ["90a" if a == "90" else a for a in self.spec.variants["cuda_arch"].value]
            args.append(self.define("LOCKSTEP_CUDA_ARCHITECTURES", ";".join(a + "-real" for a in archs)))
        return args
