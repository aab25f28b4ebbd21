#!/usr/bin/env bash
# The CUDA backend from end to end, on a GPU that tests/shim plays ($SHIM: the program with it): training beside the CPU, bits, checkpoints,
# the choice of algorithms, and errors.
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
[[ ${SHIM:-} && -x $SHIM ]] || die "SHIM must name the program on the shim, not '${SHIM:-}'"
export LOCKSTEP_ALGORITHMS=$SCRATCH/algorithms.txt

cat >run.yaml <<'YAML'
name: tiny
model: {layers: 2, width: 32, heads: 4, kv_heads: 2, context: 32, position: rope, norm: rmsnorm, ffn: swiglu, qk_norm: true,
        dropout: {attention: 0.1, residual: 0.1, embedding: 0.1}}
data: {train: "stories:50000:1", val: 0.1}
train: {steps: 6, slots: 3, micro_batch: 2, micro_batches_per_slot: 2, lr: 5.0e-3, warmup: 2, eval_every: 3, eval_batches: 2}
ckpt: {every: 3, keep: 3}
YAML
on_gpu() { expect 0 "$SHIM" train run.yaml --set backend=cuda "$@"; }
last_loss() { awk -F'"loss": ' '/"loss"/ { split($2, part, ","); last = part[1] } END { print last }' "runs/$1/metrics.jsonl"; }

say "with a GPU 'backend: auto' takes it, without it the CPU"
expect 0 "$SHIM" train run.yaml --run auto --set train.steps=1
grep -q 'on backend cuda' "$ERR" || die "auto does not take the GPU"
expect 0 env SHIM_DEVICES=0 "$SHIM" train run.yaml --run auto-cpu --set train.steps=1
grep -q 'on backend cpu' "$ERR" || die "auto does not take the CPU where there is no GPU"
expect 0 env SHIM_CAPABILITY=75 "$SHIM" train run.yaml --run auto-old --set train.steps=1
grep -q 'on backend cpu' "$ERR" || die "auto does not take the CPU where the GPU is too old"
expect 0 env SHIM_FAIL=cudaGetDeviceCount:1:35 "$SHIM" train run.yaml --run auto-driver --set train.steps=1
grep -q 'warning: .*driver.*the CPU computes' "$ERR" || die "auto does not say that GPUs cannot be used"

say "the losses are those of the CPU; twice, poisoned, on fp16 and bf16 too"
on_gpu --run gpu
expect 0 "$SHIM" train run.yaml --set backend=cpu --run cpu
for run in gpu cpu; do [[ $(wc -l <"runs/$run/metrics.jsonl") -ge 6 ]] || die "runs/$run has too few lines"; done
paste <(grep -o '"loss": [0-9.]*' runs/gpu/metrics.jsonl) <(grep -o '"loss": [0-9.]*' runs/cpu/metrics.jsonl) |
    awk '{ d = $2 - $4; if (d < 0) d = -d; n++; if (d > 2e-5 * $4) { print; exit 1 } } END { exit n < 6 }' || die "losses differ"
expect 0 env LOCKSTEP_POISON=1 "$SHIM" train run.yaml --set backend=cuda --run poisoned
same "weights of a poisoned run" "$(hash_of runs/gpu)" "$(hash_of runs/poisoned)"
for precision in bf16 fp16; do
    on_gpu --run "$precision" --set train.precision="$precision"
    awk "BEGIN { d = $(last_loss "$precision") / $(last_loss gpu) - 1; exit !(d < 0.02 && d > -0.02) }" ||
        die "$precision ends at $(last_loss "$precision"), fp32 at $(last_loss gpu)"
done

say "a stopped run goes on to the same weights; on the CPU its checkpoint loads"
for precision in gpu bf16; do
    cp -r "runs/$precision" "runs/again-$precision" && rm -r "runs/again-$precision/ckpt/step-00000006"
    expect 0 "$SHIM" train --resume "runs/again-$precision"
    same "weights of a resumed run, $precision" "$(hash_of "runs/$precision")" "$(hash_of "runs/again-$precision")"
done
on_gpu --run not-async --set ckpt.async=false
same "weights saved at once" "$(hash_of runs/gpu)" "$(hash_of runs/not-async)"
expect 0 "$SHIM" eval runs/gpu --data stories:4000:2 --backend cpu
cpu=$(grep -o '[0-9]*\.[0-9]*' "$OUT" | head -1)
expect 0 "$SHIM" eval runs/gpu --data stories:4000:2 --backend cuda
gpu=$(grep -o '[0-9]*\.[0-9]*' "$OUT" | head -1)
awk "BEGIN { d = $cpu - $gpu; exit !($cpu > 1 && d < 1e-3 && d > -1e-3) }" || die "eval: $cpu on the CPU, $gpu on the GPU"
expect 0 "$SHIM" generate runs/gpu --prompt "One day" --tokens 8 --seed 3
cp "$OUT" generated && expect 0 env SHIM_DEVICES=0 "$SHIM" generate runs/gpu --prompt "One day" --tokens 8 --seed 3
cmp -s generated "$OUT" || say "generated text differs from the CPU's (rounding may choose another token)"

say "the choice of algorithms is kept, and used"
[[ -s $LOCKSTEP_ALGORITHMS ]] || die "no algorithms were kept"
on_gpu --run kept
! grep -q 'measured algorithms' "$ERR" || die "a second run measures again"
sed 's/\t\(.\{16\}\)...\{14\}/\t\10200000000000000/' "$LOCKSTEP_ALGORITHMS" >other.txt
cmp -s other.txt "$LOCKSTEP_ALGORITHMS" && sed 's/\t\(.\{16\}\)...\{14\}/\t\10000000000000000/' "$LOCKSTEP_ALGORITHMS" >other.txt
expect 0 env LOCKSTEP_ALGORITHMS="$PWD/other.txt" "$SHIM" train run.yaml --set backend=cuda --run other
differ "weights with other algorithms" "$(hash_of runs/gpu)" "$(hash_of runs/other)"

cp -r runs/gpu runs/kept-in-checkpoint && rm -r runs/kept-in-checkpoint/ckpt/step-00000006
expect 0 env LOCKSTEP_ALGORITHMS="$PWD/other.txt" "$SHIM" train --resume runs/kept-in-checkpoint
same "weights resumed where other algorithms are kept" "$(hash_of runs/gpu)" "$(hash_of runs/kept-in-checkpoint)"
cp -r runs/gpu runs/elsewhere && rm -r runs/elsewhere/ckpt/step-00000006
expect 0 env SHIM_CAPABILITY=80 "$SHIM" train --resume runs/elsewhere
grep -q 'warning: .*another kind of device' "$ERR" || die "resuming on another GPU is not told"
rm -r runs/elsewhere/ckpt/step-00000006
expect 0 "$LOCKSTEP" train --resume runs/elsewhere --set backend=cpu
grep -q 'warning: .*another kind of device' "$ERR" || die "resuming on a CPU is not told"

say "errors: no GPU, an old one, an old build, too little memory, memory that fails in the middle"
expect 1 env SHIM_DEVICES=0 "$SHIM" train run.yaml --set backend=cuda --run none
grep -q "backend cuda: .*no GPU.*'backend: cpu' runs without" "$ERR" || die "no GPU: the message does not help"
expect 1 env SHIM_CAPABILITY=75 "$SHIM" train run.yaml --set backend=cuda --run old
grep -q 'compute capability 7.5; Lockstep needs 8.0' "$ERR" || die "an old GPU: the message does not help"
expect 1 env SHIM_FAIL=launch:1:209 "$SHIM" train run.yaml --set backend=cuda --run architecture
grep -q 'LOCKSTEP_CUDA_ARCHITECTURES' "$ERR" || die "no kernels for this GPU: the message does not help"
expect 1 env SHIM_FAIL=cudaGetDeviceCount:1:35 "$SHIM" train run.yaml --set backend=cuda --run driver
grep -q 'driver is older' "$ERR" || die "an old driver: the message does not help"
expect 1 env SHIM_MEMORY=20000000 "$SHIM" train run.yaml --set backend=cuda --run small
grep -q 'the plan needs .* GiB free of .*no single setting' "$ERR" || die "too little memory: the message does not help"
wide=(--set model.vocab=6000 --set train.micro_batch=32 --set train.slots=1 --set train.micro_batches_per_slot=1 --set train.steps=1
    --set ckpt.every=0 --set train.eval_every=0)
expect 1 env SHIM_MEMORY=327000000 "$SHIM" train run.yaml --set backend=cuda --run medium "${wide[@]}"
grep -q 'it would fit with .*--set fuse.head=true' "$ERR" || die "too little memory: no setting is named"
grep -q -- '--set train.micro_batch=[0-9]' "$ERR" || die "too little memory: no smaller micro-batch is named"
expect 0 env SHIM_MEMORY=327000000 "$SHIM" train run.yaml --set backend=cuda --run fits "${wide[@]}" --set fuse.head=true
for call in 1 2 3 4 5; do
    expect 1 env SHIM_FAIL=cudaMalloc:$call:2 "$SHIM" train run.yaml --set backend=cuda --run "malloc-$call"
    grep -q 'out of memory (cudaErrorMemoryAllocation) while' "$ERR" || die "allocation $call fails: the message does not help"
done
expect 1 env SHIM_FAIL=cudaStreamSynchronize:40:214 "$SHIM" train run.yaml --set backend=cuda --run ecc --set ckpt.every=1
grep -q 'uncorrectable ECC error .*--resume' "$ERR" || die "memory that fails: the message does not help"
expect 0 "$LOCKSTEP" ckpt verify runs/ecc
expect 0 "$SHIM" train --resume runs/ecc
expect 0 "$SHIM" train run.yaml --set backend=cuda --run whole --set ckpt.every=1
same "weights after memory that failed" "$(hash_of runs/whole)" "$(hash_of runs/ecc)"

say "heads that are too large are refused, and slow ones are told"
expect 2 "$SHIM" train run.yaml --set backend=cuda --run large --set model.width=320 --set model.heads=1 --set model.kv_heads=1
grep -q 'a head has 320 channels' "$ERR" || die "a head of 320 channels is not refused"
expect 0 "$SHIM" train run.yaml --set backend=cuda --run slow --set model.width=36 --set model.heads=3 --set model.kv_heads=3 --set train.precision=bf16 --set train.steps=1
grep -q 'without tensor cores' "$ERR" || die "slow attention is not told"

say "what cuDNN cannot do, or that it is not there, is said"
expect 2 "$SHIM" train run.yaml --set backend=cuda --run cudnn --set model.attention_impl=cudnn
grep -q "dropout of attention weights.*'own'" "$ERR" || die "cuDNN with dropout: the message does not help"
expect 2 "$SHIM" train run.yaml --set backend=cuda --run cudnn --set model.attention_impl=cudnn --set model.dropout.attention=0
grep -q "model.attention_impl: cudnn: .*'own' does without" "$ERR" || die "no cuDNN: the message does not help"

say "a timeline of the GPU's ops"
expect 0 "$SHIM" train run.yaml --set backend=cuda --run traced --trace trace.json
same "weights of a traced run" "$(hash_of runs/gpu)" "$(hash_of runs/traced)"
grep -q '"name":"rmsnorm","cat":"compute"' trace.json || die "the timeline has no rmsnorm"
say "all is well"
