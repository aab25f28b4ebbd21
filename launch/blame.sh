# shellcheck shell=bash
# Which host a failed start was the fault of, by what it printed. To be sourced.

# blame LOG: a line "KIND HOST", or nothing where no host is named. KIND is
#   dead    the host, or what ran on it, no longer answers
#   wrong   it has computed other bits than others
#   either  it or another has; which, `lockstep doctor` may find
#   crash   a process died there, which may be anybody's fault
blame() {
    local log=$1 name='[A-Za-z0-9._-]*[A-Za-z0-9]' line host speaker='' named others
    local - # what is not found is no error here
    set +e +o pipefail
    # Launchers know of hosts first: Slurm in its own words, Open MPI some lines later.
    host=$(sed -nE "s/^srun: error: Node failure on ($name).*/\1/p; s/.*STEP [0-9.]+ ON ($name) CANCELLED .* DUE TO NODE FAILURE.*/\1/p" "$log" | head -n 1)
    [[ $host ]] || host=$(grep -aA 12 'lost communication with a remote daemon' "$log" | sed -nE "s/^ *Remote daemon: .* on node ($name).*/\1/p" | head -n 1)
    [[ $host ]] || host=$(sed -nE "s/^lockstep: ($name): cannot run .*/\1/p" "$log" | head -n 1) # launch/hosts
    [[ ! $host ]] || { echo "dead $host" && return; }
    line=$(grep -aE '^lockstep: ' "$log" | grep -am 1 -E 'rank [0-9]+ on ')
    if [[ ! $line ]]; then # Slurm's PMIx may end a step before ranks can say whose process died; Open MPI says whose connection broke
        host=$(sed -nE "s/^srun: error: ($name): tasks? [0-9,-]+: (Killed|Segmentation fault|Bus error|Aborted).*/\1/p" "$log" | head -n 1)
        [[ $host ]] || host=$(sed -nE "s/^ *Peer host: *($name).*/\1/p" "$log" | head -n 1)
        [[ ! $host ]] || echo "crash $host"
        return
    fi
    # "lockstep: rank 0 on node1: …" is who speaks; names that follow are those of whom it speaks.
    if [[ $line =~ ^lockstep:\ rank\ [0-9]+\ on\ ($name):\ (.*)$ ]]; then speaker=${BASH_REMATCH[1]} line=${BASH_REMATCH[2]}; fi
    named=$(grep -aoE "rank [0-9]+ on $name" <<< "$line" | sed 's/.* on //' | awk '!seen[$0]++')
    host=$(head -n 1 <<< "$named")
    case $line in
        *'not come to '*)
            # Who speaks waits for the others of its host as well, which wait for the same.
            others=$(grep -vxF "$speaker" <<< "$named")
            [[ ! $others ]] || host=$(head -n 1 <<< "$others")
            if [[ $(wc -l <<< "$others") -gt 1 ]]; then echo "either $host"; else echo "dead $host"; fi
            ;;
        *'its memory has failed'*) echo "wrong ${host:-$speaker}" ;;
        *cudaError*) echo "crash ${host:-$speaker}" ;;
        *'has no GPU that can be used'*) echo "wrong $host" ;;
        *'differ from those of '*) echo "wrong $host" ;;
        *guard:* | *audit:*) echo "either $host" ;;
        *'is gone: '*) echo "crash $host" ;;
    esac
}

# bad_hosts REPORT: those that a report of `lockstep doctor --json` names, in words.
bad_hosts() { sed -n '/"bad_hosts"/ { s/.*\[//; s/\].*//; s/[", \t]\{1,\}/ /g; s/^ //; s/ $//; p; }' "$1"; }
