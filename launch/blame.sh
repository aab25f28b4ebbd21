# shellcheck shell=bash
# Which host a failed start was the fault of, by what it printed. To be sourced.

# blame LOG: a line "KIND HOST", or nothing where no host is named. KIND is
#   dead    the host, or what ran on it, no longer answers
#   wrong   it has computed other bits than others
#   either  it or another has; which, `lockstep doctor` may find
#   crash   a process died there, which may be anybody's fault
blame() {
    local log=$1 line host
    # Launchers know of hosts first. Slurm's words, then those of Open MPI, which names the host some lines later.
    host=$(sed -nE 's/^srun: error: Node failure on ([A-Za-z0-9._-]+).*/\1/p; s/.*STEP [0-9.]+ ON ([A-Za-z0-9._-]+) CANCELLED .* DUE TO NODE FAILURE.*/\1/p' "$log" | head -n 1)
    [[ $host ]] || host=$(grep -aA 12 'lost communication with a remote daemon' "$log" | sed -nE 's/^ *Remote daemon: .* on node ([A-Za-z0-9._-]+).*/\1/p' | head -n 1)
    [[ ! $host ]] || { echo "dead $host" && return; }
    line=$(grep -aE '^lockstep: ' "$log" | grep -am 1 -E 'rank [0-9]+ on ') || return 0
    # "rank 0 on node1: …" is who speaks; the names that follow are whom it speaks of.
    if [[ $line =~ ^lockstep:\ rank\ [0-9]+\ on\ [^\ ]+:\ (.*rank\ [0-9]+\ on\ .*)$ ]]; then line=${BASH_REMATCH[1]}; fi
    [[ $line =~ rank\ [0-9]+\ on\ ([A-Za-z0-9._-]*[A-Za-z0-9]) ]] || return 0
    host=${BASH_REMATCH[1]}
    case $line in
        *'not come to '*) echo "dead $host" ;;
        *'differ from those of '* | *'its memory has failed'*) echo "wrong $host" ;;
        *guard:* | *audit:*) echo "either $host" ;;
        *'is gone: '*) echo "crash $host" ;;
    esac
}
