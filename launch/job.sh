# shellcheck shell=bash disable=SC2317 # what traps call
# What every Slurm script of this folder does: it finds the program and a way to start ranks, starts or resumes the run, saves and requeues
# before the time limit, and goes on without hosts that failed. To be sourced by one of them, in a job.
#
# What can be set in front (DATA=a.bin,b.bin sbatch launch/medium.slurm), with sbatch --export=ALL,NAME=VALUE,… where no value has a comma, or at
# the top of the script:
#   CONFIG     the configuration                                 DATA      data.train (default: the config's)
#   RUN        the run's name (default: the job's name)          RUNS_DIR  where runs are (default: runs): a folder that all nodes see
#   OPTIONS    more options of `lockstep train`, in words        MODULES   environment modules to load, in words
#   LOCKSTEP   the program (default: build/release/bin/lockstep) STARTER   srun or mpirun (default: what works)
#   DOCTOR     full: `lockstep doctor` checks the nodes first    RESTARTS  without progress, at most (default 3)

# shellcheck source=launch/lib.sh disable=SC1091
. launch/lib.sh
# shellcheck source=launch/blame.sh disable=SC1091
. launch/blame.sh

set -uo pipefail
exported=${SLURM_EXPORT_ENV:-}
export SLURM_EXPORT_ENV=ALL # ranks get what is set here, whatever sbatch was told to export
start_number=$((${SLURM_RESTART_COUNT:-0} + 1))
note() { echo "== $(date '+%F %T') job $SLURM_JOB_ID, start $start_number: $*"; }
stop() { echo "lockstep: job $SLURM_JOB_ID: $1" >&2; exit "${2:-2}"; }

# sbatch cuts values at commas without a word.
check_exports() {
    local entries entry
    IFS=, read -ra entries <<< "$exported"
    for entry in "${entries[@]}"; do
        [[ $entry == *=* || $entry =~ ^(ALL|NONE|NIL)$ || ($entry =~ ^[A-Za-z_][A-Za-z0-9_]*$ && -v $entry) ]] ||
            stop "sbatch --export cuts values at commas, here before '$entry'; set what has commas in front: DATA=… OPTIONS=… sbatch launch/…"
    done
}

load_modules() {
    local name
    [[ ${MODULES:-} ]] || return 0
    type module > /dev/null 2>&1 || stop "MODULES is '$MODULES', but $(hostname) has no command 'module'; leave MODULES empty, or source the site's init file (such as /etc/profile.d/modules.sh) in ~/.bashrc"
    for name in $MODULES; do module load "$name" || stop "'module load $name' failed; 'module avail' lists what there is"; done
}

check_setting() {
    local says source sources
    lockstep=${LOCKSTEP:-build/release/bin/lockstep}
    [[ -x $lockstep ]] || stop "there is no program $lockstep on $(hostname); build it (./launch/quickstart), or name it: sbatch --export=ALL,LOCKSTEP=/path/to/lockstep …"
    lockstep=$(readlink -f "$lockstep")
    says=$("$lockstep" --version 2>&1) || stop "$lockstep does not run on $(hostname): $(tail -n 1 <<< "$says"); its libraries come with MODULES, or with a bundle (launch/bundle)"
    [[ -r $CONFIG ]] || stop "there is no configuration $CONFIG; submit from the project's folder, or set CONFIG"
    IFS=, read -ra sources <<< "$DATA"
    for source in "${sources[@]}"; do
        [[ $source == stories* || -e ${source%%:*} ]] || stop "there is no data $source on $(hostname); set DATA to files that all nodes see"
    done
    runs=${RUNS_DIR:-runs} run=${RUN:-$SLURM_JOB_NAME}
    mkdir -p "$runs/logs" || stop "cannot make the folder $runs/logs; set RUNS_DIR to one that can be written to"
    log=$runs/logs/$run-$SLURM_JOB_ID.$start_number.log failures=$runs/logs/$run-$SLURM_JOB_ID.failures
}

# After a requeue SLURM_NTASKS may still be that of the first start.
count_ranks() {
    nodes=$SLURM_JOB_NUM_NODES
    each=${SLURM_NTASKS_PER_NODE:-${SLURM_TASKS_PER_NODE%%[^0-9]*}}
    ranks=$((nodes * each))
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}
}

# A rank that dies does not take the others with it at once, so that they can tell who it was. With `--gpus-per-node` each rank sees the
# node's GPUs and takes the one of its number there, as NCCL wants it.
use_srun() {
    start=(srun --mpi=pmix --nodes="$nodes" --ntasks="$ranks" --ntasks-per-node="$each" --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 --wait=60)
}
use_mpirun() {
    command -v mpirun > /dev/null || stop "ranks can be started neither by 'srun --mpi=pmix' nor by mpirun, which is not there: load Open MPI with MODULES"
    start=(mpirun -np "$ranks" --map-by "ppr:$each:node" --bind-to none -x OMP_NUM_THREADS)
    if [[ $(id -u) -eq 0 ]]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi
}

# job_has KEY: what Slurm says of this job.
job_has() { scontrol show job "$SLURM_JOB_ID" 2> /dev/null | sed -nE "s/(^|.* )$1=([^ ]*).*/\2/p" | grep -vx '(null)' | head -n 1; }

# Slurm's signal before the time limit, or a preemption: passed on to the ranks, which save and end with 75.
asked='' step=''
ask() {
    asked=$1
    note "asked to stop (SIG$1)"
    [[ ! $step ]] || kill -USR1 "$step" 2> /dev/null
}
trap 'ask USR1' USR1
trap 'ask TERM' TERM

# Slurm has queued this job again by itself: a node has failed, or another job takes its nodes.
queued_again() { [[ $(job_has Restarts) -gt ${SLURM_RESTART_COUNT:-0} ]]; }

# run LOG COMMAND…: on all ranks, in the background, since bash handles signals only between commands. Its status is in $status.
run() {
    local log=$1
    shift
    : > "$log"
    "${start[@]}" "$@" > "$log" 2>&1 &
    step=$!
    [[ ! $asked ]] || kill -USR1 "$step" 2> /dev/null
    status=0
    wait "$step" || status=$?
    while kill -0 "$step" 2> /dev/null; do
        if ! queued_again; then
            status=0
            wait "$step" || status=$?
        # Where a node has failed Slurm ends all that runs, and soon this script, too: there is nothing to wait for. Else ranks save.
        elif [[ $(blame "$log") == dead* ]]; then
            break
        else
            sleep 0.3
        fi
    done
    if ! kill -0 "$step" 2> /dev/null; then
        status=0
        wait "$step" || status=$?
    fi
    step=
}

# A short check that ranks find each other tells whether srun can start them.
find_starter() {
    local said=$runs/logs/$run-$SLURM_JOB_ID.srun
    case ${STARTER:-} in
        srun) use_srun ;;
        mpirun) use_mpirun ;;
        '')
            use_srun
            run "$said" "$lockstep" doctor --quick --seconds 0 --runs-dir "$runs"
            if grep -q '^problems' "$said"; then
                sed -n '/^problems  *$/,$ p' "$said"
                rm -f "$said"
            elif [[ ! $asked ]]; then
                note "'srun --mpi=pmix' does not start ranks that find each other ($said has what it said): mpirun does it"
                use_mpirun
            fi
            ;;
        *) stop "STARTER is '$STARTER'; it is srun or mpirun" ;;
    esac
}

train() {
    # shellcheck disable=SC2206 # words are what OPTIONS is
    local words=(train) more=(${OPTIONS:-})
    if [[ -e $runs/$run/config.yaml ]]; then
        note "going on with $runs/$run, with the configuration and data that it began with, and OPTIONS"
        words+=(--resume "$runs/$run" "${more[@]}")
    else
        words+=("$CONFIG" --run "$run" --set "runs_dir=$runs" "${more[@]}")
        [[ ! ${DATA:-} ]] || words+=(--set "data.train=$DATA")
    fi
    note "$ranks ranks on $nodes nodes ($SLURM_JOB_NODELIST): ${start[*]} $lockstep ${words[*]}"
    : > "$log"
    tail -n +1 -f --pid=$$ "$log" &
    local follower=$!
    run "$log" "$lockstep" "${words[@]}"
    sleep 1 # for what is still to be shown
    kill "$follower" 2> /dev/null
}

# again REASON [HOST…]: ends this start and queues the job once more; without these hosts, which are replaced where the partition has
# other nodes for them, else the job goes on with fewer. Slurm has queued it already where it saw a node fail, or where another job needs the nodes.
again() {
    local why=$1 now tries=0 up want=$nodes bad devices
    shift
    trap '' TERM # Slurm asks this script to end, and what follows must still be said
    now=$(job_has JobState)
    while [[ ! $now && $((++tries)) -le 50 ]]; do # the controller is away, which it mostly is for a moment
        sleep 5
        now=$(job_has JobState)
    done
    if ! queued_again; then
        [[ $now == RUNNING ]] || stop "$why; the job is ${now:-not known to Slurm}, so it is not queued again: what is saved can be resumed" 75 # cancelled, say
        scontrol requeue "$SLURM_JOB_ID" || stop "$why; Slurm does not requeue this job: submit it again, and it goes on from the last checkpoint" 75
    fi
    note "$why: requeued"
    [[ $# -gt 0 ]] || exit 75
    bad=$(IFS=, && echo "$*${already_out:+,$already_out}")
    up=$(sinfo -h -N -p "$SLURM_JOB_PARTITION" -t idle,mixed,allocated,completing -o %N | sort -u | grep -vxFc "$(scontrol show hostnames "$bad")")
    if [[ $up -lt $want ]]; then want=$((up > 0 ? up : 1)); fi
    note "without $*, on $want nodes"
    devices=$(job_has TresPerNode) # must be said again, or Slurm keeps the sum over all nodes
    for _ in {1..5}; do
        scontrol update JobId="$SLURM_JOB_ID" ExcNodeList="$bad" NumNodes="$want" NumTasks=$((want * each)) \
            NumCPUs=$((want * each * ${SLURM_CPUS_PER_TASK:-1})) ${devices:+TresPerNode="$devices"} && exit 75
        sleep 1
    done
    stop "Slurm did not take the change: scontrol update JobId=$SLURM_JOB_ID ExcNodeList=$bad NumNodes=$want" 75
}

# silent_nodes: those of the job on which nothing runs any more; none where that is true of all, since then it is not the nodes.
silent_nodes() {
    local node silent=()
    for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
        { timeout 30 srun --overlap --mpi=none --nodes=1 --ntasks=1 --gpus=0 --nodelist="$node" true > /dev/null 2>&1 || echo "$node" > "$log.$node"; } &
        probes+=($!)
    done
    wait "${probes[@]}"
    for node in $(scontrol show hostnames "$SLURM_JOB_NODELIST"); do
        [[ ! -e $log.$node ]] || silent+=("$node")
        rm -f "$log.$node"
    done
    [[ ${#silent[@]} -eq $nodes ]] || echo "${silent[@]}"
}
probes=()

# failed WHAT HOST…: keeps it, and gives up after too many without a new checkpoint in between.
failed() {
    local count
    echo "$(date '+%F %T') start $start_number at step $after: $*" >> "$failures"
    count=$(wc -l < "$failures")
    [[ $count -le ${RESTARTS:-3} ]] || stop "failed $count times without progress since step $after: given up; $failures lists them, $log has the last words" 1
}

# A device or a way between hosts that is bad is left out before it costs a run. What merely differs is told.
check_nodes() {
    local hosts
    [[ ${DOCTOR:-} == full ]] || return 0
    note "${start[*]} $lockstep doctor $CONFIG"
    run "$log" "$lockstep" doctor "$CONFIG" --json --runs-dir "$runs"
    [[ $status -ne 0 && ! $asked ]] || return 0
    grep -a '^lockstep: ' "$log"
    hosts=$(bad_hosts "$log")
    [[ $hosts ]] || hosts=$(blame "$log" | cut -d ' ' -f 2)
    if [[ ! $hosts ]] && grep -q '"bad_hosts"' "$log"; then return 0; fi
    [[ $hosts ]] || stop "lockstep doctor did not come to an end; $log has its report" 1
    failed "doctor" "$hosts"
    # shellcheck disable=SC2086 # a word each
    again "lockstep doctor found $hosts bad ($log)" $hosts
}

check_exports
load_modules
check_setting
count_ranks
already_out=$(job_has ExcNodeList)
before=$(saved_step "$runs/$run") after=$before
find_starter
[[ $asked ]] || check_nodes
if [[ $asked ]]; then
    failed "asked to stop before training began"
    again "asked to stop before training began"
fi
train
after=$(saved_step "$runs/$run")
if [[ $after -gt $before ]]; then rm -f "$failures"; fi
# srun's status is 0, too, where it could not begin.
if [[ $status -eq 0 ]] && ! grep -aq '^done: ' "$log"; then status=1; fi
case $status in
    0) rm -f "$failures" && note "done" && exit 0 ;;
    2 | 3) stop "the run cannot go on (status $status): the line above says why" "$status" ;;
esac
read -r kind host <<< "$(blame "$log")"
if [[ $status -eq 75 || ($asked && ${kind:-} != dead) ]]; then
    [[ $after -gt $before ]] || failed "asked to stop, and nothing new is saved (if this comes again: more --time, or a later --signal)"
    again "saved at step $after"
fi
bad=()
if ! queued_again; then read -ra bad <<< "$(silent_nodes)"; fi
host=${host:+${host%%.*}}
failed "status $status${host:+, $kind $host}"
# A process that dies once may be anybody's fault; twice on the same host, it is the host's.
if [[ $host && (${kind:-} != crash || $(grep -c "crash $host\$" "$failures") -ge 2) && " ${bad[*]} " != *" $host "* ]]; then bad+=("$host"); fi
again "failed with status $status${host:+: $kind is $host}" "${bad[@]}"
