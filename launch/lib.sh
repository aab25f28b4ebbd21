# shellcheck shell=bash
# What the scripts share: packages, the build, and mpirun's options. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'lockstep: %s\n' "$1" >&2; exit "${2:-1}"; }

cores() { env -u OMP_NUM_THREADS nproc 2> /dev/null || sysctl -n hw.ncpu; }

build_packages=(gcc g++ make cmake ninja-build pkg-config libopenblas-openmp-dev libopenmpi-dev openmpi-bin libhdf5-dev libyaml-dev
    libcjson-dev libxxhash-dev libpcre2-dev zlib1g-dev libzstd-dev)
test_packages=(libcmocka-dev shellcheck iproute2)

slurm_packages=(slurmctld slurmd slurm-client munge)

# install_packages NAME…: installs what is missing, on Debian and Ubuntu; elsewhere says what is needed.
install_packages() {
    if [[ $(uname) == Darwin ]]; then
        command -v mpicc > /dev/null && command -v cmake > /dev/null && return 0
        die "on a Mac install these first: brew install cmake ninja pkg-config gcc openblas open-mpi hdf5 libyaml cjson xxhash pcre2 zstd cmocka libomp"
    fi
    command -v dpkg-query > /dev/null || die "this is not Debian or Ubuntu; install what these packages hold, then run again: $*"
    local missing=() p
    for p in "$@"; do
        [[ $(dpkg-query -W -f='${Status}' "$p" 2> /dev/null) == "install ok installed" ]] || missing+=("$p")
    done
    [[ ${#missing[@]} -eq 0 ]] && return 0
    say "installing: ${missing[*]}"
    local as=()
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo > /dev/null || die "these packages are missing, and there is no sudo to install them: ${missing[*]}"
        as=(sudo)
    fi
    "${as[@]}" apt-get update -qq || die "apt-get update failed; is there a network?"
    "${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null ||
        die "apt-get could not install: ${missing[*]}"
}

# build PRESET [cmake options]: configures and builds into build/PRESET.
build() {
    local preset=$1
    shift
    local generator=()
    [[ -f $root/build/$preset/CMakeCache.txt ]] || { command -v ninja > /dev/null && generator=(-G Ninja); }
    say "building build/$preset"
    (cd "$root" && cmake --preset "$preset" "${generator[@]}" "$@" > "build-$preset.log" 2>&1) || {
        tail -n 20 "$root/build-$preset.log" >&2
        die "cmake failed; the whole log is build-$preset.log"
    }
    sed -n '/^-- Lockstep/,/^-- $/p' "$root/build-$preset.log" >&2
    rm -f "$root/build-$preset.log"
    cmake --build "$root/build/$preset" --parallel "$(cores)" > /dev/null || cmake --build "$root/build/$preset" ||
        die "the build failed"
}

# Sets the array `cuda` to options of cmake for the GPU of this machine: kernels for its kind alone, which build several times as fast as
# for all; without a GPU none.
cuda_options() {
    local capability
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -n 1 | tr -d '. ') || capability=
    cuda=(-DLOCKSTEP_CUDA=OFF)
    [[ $capability == 90 ]] && capability=90a
    if [[ $capability =~ ^[0-9]+a?$ ]]; then cuda=(-DLOCKSTEP_CUDA=AUTO "-DLOCKSTEP_CUDA_ARCHITECTURES=$capability-real"); fi
    return 0
}

# Sets the array `mpi` to an mpirun that works on one machine: as root, with more ranks than cores, in a container.
mpirun_options() {
    local ranks=$1
    mpi=(mpirun -np "$ranks" --bind-to none --oversubscribe)
    [[ $ranks -gt $(cores) ]] && mpi+=(--mca mpi_yield_when_idle 1)
    if [[ $(id -u) -eq 0 ]]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
    return 0
}

# start_ranks MPIRUN…: runs it, and gives ranks the time to save: mpirun would kill them two seconds after Ctrl-C or SIGTERM, so it gets SIGUSR1
# instead, which it passes on; only a second Ctrl-C ends it. (Its option for more than two seconds makes it wait as long after every failure.)
# Returns its status: 75 after a stop; `stopped` is then not empty.
stopped=''
start_ranks() {
    local status=0 launcher
    set -m # a process group of its own, which Ctrl-C does not reach
    "$@" < /dev/null &
    launcher=$!
    set +m
    trap 'if [[ $stopped ]]; then kill -TERM "$launcher"; else stopped=1 && kill -USR1 "$launcher"; fi' INT TERM
    trap 'stopped=1 && kill -USR1 "$launcher"' HUP USR1
    wait "$launcher" || status=$?
    while kill -0 "$launcher" 2> /dev/null; do
        status=0
        wait "$launcher" || status=$?
    done
    trap - INT TERM HUP USR1
    if [[ $stopped && $status -eq 138 ]]; then status=75; fi # asked before it could listen: there is nothing to save
    return "$status"
}

# read_hosts FILE: "NAME slots=N" a line, as mpirun understands it: N is 1 where it is not told.
read_hosts() {
    sed -E 's/#.*//; s/(^|[[:space:]])slots[[:space:]]*=[[:space:]]*/ slots=/' "$1" |
        awk 'NF { n = 1; for (i = 2; i <= NF; i++) if ($i ~ /^slots=/) n = substr($i, 7); print $1, "slots=" n }'
}

# saved_step RUNDIR: the step of the newest checkpoint; -1: there is none.
saved_step() {
    local newest
    newest=$(find "$1/ckpt" -maxdepth 1 2> /dev/null | grep -E '/step-[0-9]+$' | sort | tail -n 1)
    newest=${newest##*step-}
    if [[ $newest ]]; then echo $((10#$newest)); else echo -1; fi
}
