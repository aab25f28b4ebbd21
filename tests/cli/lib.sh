# shellcheck shell=bash
# What the tests of the command line share. A script sources this file first; after that it stands in an empty folder of
# its own, every run has the same small environment, and the first failed check ends the script with status 1.
#
#   LOCKSTEP  the program (required)
#   MPIRUN    the launcher (default: mpirun)
#   SCRATCH   an empty folder to work in (default: a temporary one, deleted at the end)

set -u -o pipefail

[[ ${LOCKSTEP:-} && -x $LOCKSTEP ]] || {
    echo "FAILED: LOCKSTEP must name the program to test, not '${LOCKSTEP:-}'" >&2
    exit 1
}
LOCKSTEP=$(cd "$(dirname "$LOCKSTEP")" && pwd)/$(basename "$LOCKSTEP")
MPIRUN=${MPIRUN:-mpirun}

# Messages of the system in English, one thread, and an Open MPI that starts more ranks than there are cores, also for
# root, and lets waiting ranks give way to working ones.
export LC_ALL=C OMP_NUM_THREADS=1
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none OMPI_MCA_mpi_yield_when_idle=1

job='' watched='' # the last run in the background: its process, its name
background=() # process ids to end with the script
own_scratch=
if [[ ! ${SCRATCH:-} ]]; then
    SCRATCH=$(mktemp -d) || exit 1
    own_scratch=1
fi

clean_up() {
    local status=$? id
    for id in "${background[@]}"; do kill -KILL "$id" 2>/dev/null; done
    wait 2>/dev/null
    cd / || exit 1
    [[ $own_scratch ]] && rm -rf "$SCRATCH"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$SCRATCH/work" && SCRATCH=$(cd "$SCRATCH" && pwd) && cd "$SCRATCH/work" || exit 1
OUT=$SCRATCH/out # what the last command printed
ERR=$SCRATCH/err # on standard output and standard error

say() { echo "- $*"; }

skip() { echo "- SKIPPED: $*"; }

# die REASON: the first failed check ends the script; the last command and what it printed tell more.
die() {
    {
        echo "FAILED: $*"
        [[ ! ${LAST:-} ]] || echo "  last command: $LAST"
        [[ ! -s $OUT ]] || { echo "  its standard output:" && head -c 4000 "$OUT" | head -n 40 | sed 's/^/    /'; }
        [[ ! -s $ERR ]] || { echo "  its standard error:" && head -c 4000 "$ERR" | head -n 40 | sed 's/^/    /'; }
    } >&2
    exit 1
}

# expect STATUS COMMAND...: the command ends with this status; its output is in $OUT and $ERR.
expect() {
    local meant=$1 status=0
    shift
    LAST="$*"
    "$@" >"$OUT" 2>"$ERR" </dev/null || status=$?
    [[ $status == "$meant" ]] || die "exit status $status, not $meant"
}

# prints REGEX WHAT: the last command's standard output has a line that matches.
prints() { grep -Eq -- "$1" "$OUT" || die "standard output does not show ${2:-/$1/}"; }

# tells REGEX WHAT: its standard error has a line that matches.
tells() { grep -Eq -- "$1" "$ERR" || die "standard error does not show ${2:-/$1/}"; }

# complains REGEX: the last command explained its failure in one line, once, and that line matches.
complains() {
    [[ $(grep -c '^lockstep: ' "$ERR") == 1 ]] || die "the failure is not told in one line, once"
    grep '^lockstep: ' "$ERR" | grep -Eq -- "$1" || die "the message does not match /$1/"
}

# tree: what lies in the current folder: folders by name, files by name and content.
tree() { find . -type d -print -o -type f -exec cksum {} + | LC_ALL=C sort; }

# refuses STATUS REGEX COMMAND...: the command complains and does nothing else: no output, no other line, no file.
refuses() {
    local meant=$1 regex=$2 before
    shift 2
    before=$(tree)
    expect "$meant" "$@"
    complains "$regex"
    [[ ! -s $OUT ]] || die "a refusal printed on standard output"
    # Launchers add lines of their own.
    [[ $1 == ranks || $(wc -l <"$ERR") == 1 ]] || die "a refusal printed more than its one line"
    [[ $(tree) == "$before" ]] || die "a refusal changed files: $(diff <(echo "$before") <(tree) | tr '\n' ' ')"
}

# ranks N COMMAND...: the command on N ranks.
ranks() {
    local count=$1
    shift
    "$MPIRUN" -np "$count" "$@"
}

# on N COMMAND...: the same, without the launcher where N is 1.
on() {
    local count=$1
    shift
    if ((count == 1)); then "$@"; else ranks "$count" "$@"; fi
}

need_ranks() { command -v "$MPIRUN" >/dev/null || die "there is no '$MPIRUN', which this test starts ranks with"; }

same() { [[ $2 == "$3" ]] || die "$1 differ: '$2' and '$3'"; }

differ() { [[ $2 != "$3" ]] || die "$1 are the same, and must not be: '$2'"; }

# hash_of RUN: the hash of the run's newest checkpoint.
hash_of() {
    local hash
    hash=$("$LOCKSTEP" ckpt hash "$1" 2>&1)
    [[ $hash =~ ^[0-9a-f]{32}$ ]] || die "ckpt hash $1 gives '$hash'"
    echo "$hash"
}

# without_clock FILE: a metrics file without what the clock decides.
without_clock() { sed -E 's/, "(time_s|save_s|tok_per_s|mfu)": [^,}]+//g' "$1"; }

# without_ranks FILE: also without what the number of ranks decides.
without_ranks() { without_clock "$1" | sed -E 's/, "peak_bytes": [0-9]+//'; }

# same_run A B [FILTER]: two runs have the same bits: each loss, each validation loss, the last checkpoint.
same_run() {
    local filter=${3:-without_clock} a b
    [[ -s $1/metrics.jsonl && -s $2/metrics.jsonl ]] || die "$1 or $2 has no metrics"
    a=$("$filter" "$1/metrics.jsonl") b=$("$filter" "$2/metrics.jsonl")
    [[ $a == "$b" ]] || die "metrics of $1 and $2 differ: $(diff <(echo "$a") <(echo "$b") | head -n 4)"
    # In a variable first: a failure inside $(...) ends the script only there.
    a=$(hash_of "$1") && b=$(hash_of "$2") || exit 1
    same "the hashes of $1 and $2" "$a" "$b"
}

# after_step N: waits until the run in the background ($watched, of $job) has reported that step.
after_step() {
    local tries=0
    until grep -q "^{\"step\": $1," "runs/$watched/metrics.jsonl" 2>/dev/null; do
        kill -0 "$job" 2>/dev/null || die "$watched ended before step $1"
        ((++tries < 6000)) || die "$watched has not reached step $1 in 60 s"
        sleep 0.01
    done
}

# ends: waits for the run in the background; its exit status is in $status. The shell's word about a kill is not news.
ends() {
    status=0
    { wait "$job"; } 2>/dev/null || status=$?
}

# tiny_config FILE: the smallest model that has every part.
tiny_config() {
    cat >"$1" <<'YAML'
name: tiny
model: {layers: 1, width: 16, heads: 2, context: 16}
data: {train: "stories:20000:1", val: 0.1}
train: {steps: 4, slots: 8, micro_batch: 2, warmup: 2, eval_every: 2, eval_batches: 4}
ckpt: {every: 2, keep: 2}
YAML
}
