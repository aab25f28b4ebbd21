#!/usr/bin/env bash
# lockstep bench: where a step's time goes, and every optimization against its baseline.
project=$(cd "$(dirname "$0")/../.." && pwd)
# shellcheck source=tests/cli/lib.sh disable=SC1091
source "$(dirname "$0")/lib.sh"
export TMPDIR=$SCRATCH/tmp # of this test alone: what is left behind there is its own
mkdir "$TMPDIR"
synthetic=${SYNTHETIC:?must name the program that stands for lockstep}

say "the op lab: the ceilings, then one row an op and shape; an earlier report beside"
tiny_config tiny.yaml
expect 0 "$LOCKSTEP" bench tiny.yaml --rounds 2 --json lab.json
prints '^\| matrix product, fp32 \| [1-9]' "the ceiling"
prints '^\| linear \| f32\[' "a product"
prints '^\| adamw \| ' "the update"
expect 0 "$LOCKSTEP" bench tiny.yaml --rounds 2 --against lab.json
prints 'times faster' "the earlier figures"
expect 0 "$LOCKSTEP" bench --ops --rounds 1 --set model.width=48 --set model.vocab=2000 --set model.context=32 --set train.seq_len=32 \
    --set model.heads=2
for op in embed embed_grad dropout layernorm layernorm_grad rmsnorm rmsnorm_grad rope_table rope qk_norm qk_norm_grad swiglu swiglu_grad \
    softcap softcap_grad attention_scores attention_scores_grad attention_softmax attention_softmax_grad attention_mix attention_mix_dp \
    attention_mix_dv head_loss head_loss_grad add_layernorm add_rmsnorm linear_gelu linear_swiglu linear_rope linear_dx_gelu linear_dx_swiglu cast linear linear_dx linear_dw gelu gelu_grad attention attention_grad \
    attention_cached add take_row xent xent_grad softmax nll nll_grad clamp clamp_grad record_loss loss_seed fold tree_finish sum_squares clip adamw; do
    prints "^\| $op \| " "$op"
done
refuses 2 'give one CONFIG.yaml, or --ops' "$LOCKSTEP" bench
refuses 3 'is not what .lockstep bench --json. writes' "$LOCKSTEP" bench tiny.yaml --against tiny.yaml
refuses 2 'rounds' "$LOCKSTEP" bench tiny.yaml --rounds 0

say "the cases of this project can be read, and their two sides are configurations"
expect 0 "$LOCKSTEP" bench --cases "$project/bench/cases" --root "$project" --list
cases=("$project"/bench/cases/*.yaml)
same "the number of cases" "${#cases[@]}" "$(wc -l <"$OUT")"

mkdir cases
words=$'use_when: x\nskip_when: x\ntrade_offs: x\nupkeep: x\nspeed_steps: 6\n'
case_file() { printf 'title: %s\nconfig: tiny.yaml\nset: {train.eval_batches: 0}\nquick_tokens: 3072\n%s%s\n' "$1" "$words" "$2" >"cases/$1.yaml"; }
run_all=("$LOCKSTEP" bench --cases cases --root . --results results --machine here --quick)

say "a case with lockstep itself: pages, pictures, index, raw figures; on 2 ranks the bits are the same"
need_ranks
case_file ranks 'optimized: {ranks: 2}'
expect 0 "${run_all[@]}"
prints '^\| \[ranks\]\(ranks.md\) \| .* the same bits ' "the same loss on 1 and 2 ranks"
tells '^\[1/1\] ranks .* runs left, [0-9.]+ to [0-9.]+ minutes' "the time left"
for file in ranks.md README.md summary.json raw/ranks.json ranks-memory.svg ranks-loss-tokens.svg ranks-loss-time.svg; do
    [[ -s results/here-quick/$file ]] || die "$file is not there"
done
grep -q 'Lines of code' results/here-quick/ranks.md || die "the page does not follow the template"

say "what is done is not run again; --again runs it"
before=$(cksum results/here-quick/raw/ranks.json)
expect 0 "${run_all[@]}"
[[ ! -s $ERR ]] || die "something was run again"
same "raw figures" "$before" "$(cksum results/here-quick/raw/ranks.json)"
rm cases/ranks.yaml
case_file kept ''
expect 0 "${run_all[@]}"
tells '^\[1/1\] kept' "progress"
run_all+=(--program "$synthetic")
expect 0 "${run_all[@]}"
tells '^\[1/1\] kept' "another program is measured anew"
expect 0 "${run_all[@]}" --again
tells '^\[1/1\] kept' "that it runs again"

say "a case that fails is a row that says why; the others are done, and the exit status tells"
rm cases/kept.yaml
case_file bad 'optimized: {set: {train.clip: 0.5}}'
case_file good 'optimized: {set: {train.lr: 0.002}}'
expect 1 "${run_all[@]}"
prints '^\| \[bad\]\(bad.md\) \| failed: optimized, pair 1, seed 1337: exit status 1: synthetic: planted to fail' "the reason"
prints '^\| \[good\]\(good.md\) \| .* \| -[45][0-9]\.[0-9]% \(' "the other case"
complains '1 case failed'
expect 0 "${run_all[@]}" --only good
refuses 2 "there is no case 'other'" "${run_all[@]}" --only good,other
expect 0 "${run_all[@]}" --list
prints '^bad ' "the list"

say "a run that takes too long has failed; a stopped measurement goes on"
rm cases/*.yaml
case_file slow 'optimized: {set: {train.clip: 0.25}}'
expect 1 "${run_all[@]}" --limit 1
prints 'slow.md\) \| failed: .*took longer than 1 s' "the reason"
"${run_all[@]}" >"$OUT" 2>"$ERR" &
background+=($!)
sleep 0.7
kill -TERM $!
status=0
wait $! || status=$?
same "exit status" 75 "$status"
tells 'what is done is kept' "that it can go on"
! pgrep -f "synthetic train $TMPDIR/lockstep-bench-" >/dev/null || die "a run was left behind"
[[ -z $(find "$TMPDIR" -name 'lockstep-bench-*') ]] || die "scratch was left behind"

say "a pair is measured together: what a stop left of one is measured again"
rm cases/*.yaml
case_file halves ''
expect 0 "${run_all[@]}"
sed -i '0,/"step_s":/s/"step_s":[^,]*/"step_s": null/' results/here-quick/raw/halves.json
expect 0 "${run_all[@]}"
same "times that the first pair was made" 1 "$(grep -Ec '^\[1/1\] halves +pair 1[:;]' "$ERR")" # noise may ask for more pairs

say "what the figures depend on: data, environment; the folder belongs to one measurement; options"
echo "some text that is long enough for a window or two of sixteen tokens, and then some more" >text.txt
for _ in 1 2 3 4 5 6 7; do cat text.txt text.txt >longer.txt && mv longer.txt text.txt; done
case_file halves 'optimized: {set: {train.clip: 2}}'
sed -i 's/set: {train.eval_batches: 0}/set: {train.eval_batches: 0, data.train: text.txt}/' cases/halves.yaml
expect 0 "${run_all[@]}"
expect 0 "${run_all[@]}"
[[ ! -s $ERR ]] || die "something was run again"
echo more >>text.txt
expect 0 "${run_all[@]}"
tells 'halves' "that other data are measured anew"
expect 0 env OMP_PROC_BIND=true "${run_all[@]}"
tells 'halves' "that another environment is measured anew"
cat >asks <<END
#!/bin/sh
echo "\$OMP_NUM_THREADS" >>$PWD/threads.txt
exec $synthetic "\$@"
END
chmod +x asks
expect 0 "${run_all[@]}" --program asks
case_file halves 'threads: 7'
expect 0 "${run_all[@]}" --program asks
same "threads of the runs" "$(env -u OMP_NUM_THREADS nproc) 7" "$(uniq threads.txt | paste -sd ' ')"
grep -q ', 7 threads a rank$' results/here-quick/halves.md || die "the page does not tell the threads"
refuses 2 'case halves has 5' "${run_all[@]}" --seeds 9
refuses 2 'not what --results names' "${run_all[@]}" --docs
refuses 2 'is not one name' "${run_all[@]}" --machine a/b
flock results/here-quick sleep 2 &
background+=($!)
sleep 0.2
refuses 2 'another measurement writes here' "${run_all[@]}" --again
wait $!

say "comparing folders"
rm cases/*.yaml
case_file one ''
expect 0 "${run_all[@]}"
cp -r results/here-quick old
expect 0 "$LOCKSTEP" bench --compare old results/here-quick
prints '^[0-9]+ figures of [0-9]+ cases compared, 0 moved,' "that nothing moved"
refuses 2 'give two folders' "$LOCKSTEP" bench --compare old
refuses 2 'has no raw' "$LOCKSTEP" bench --compare old cases

say "memory and speed with a larger model, in runs of their own; losses of a shared baseline are measured once; quick does without"
rm cases/*.yaml
case_file eps $'tokens: 3072\nspeed_set: {ckpt.keep: 60}\noptimized: {set: {train.eps: 0.5}}'
case_file work $'tokens: 3072\nspeed_set: {ckpt.keep: 60}\noptimized: {set: {train.lr: 0.0012}}'
case_file other $'tokens: 3072\nspeed_set: {ckpt.keep: 60}\nbaseline: {set: {train.lr: 0.0012}}'
apart=("$LOCKSTEP" bench --cases cases --root . --results apart --machine here --seeds 2 --program "$synthetic")
# Times are those of an invented machine: another test beside this one must not decide.
SYNTHETIC_CLOCK=$PWD/clock expect 0 "${apart[@]}"
prints '^\| \[work\]\(work.md\) \| \+0\.0% \| .* \| -1[0-9]\.[0-9]% \(' "the slow-down of the larger model"
# seconds FILE: how long the baseline's runs for the loss took; no two runs take the same to the last digit.
seconds() { awk -F '[:,]' '/"side"/ { side = $2 + 0 } /"for_loss"/ { loss = $2 + 0 } /"train_s"/ && !side && loss { print $2 }' "apart/here/raw/$1.json"; }
same "runs for the loss" 2 "$(seconds eps | wc -l)"
same "runs of the shared baseline" "$(seconds eps)" "$(seconds work)"
differ "runs of another baseline" "$(seconds eps)" "$(seconds other)"
grep -q '^| Memory, planned (MiB) | 60.00 | 60.00 |' apart/here/eps.md || die "memory is not that of the larger model"
grep -q 'ckpt.keep=60' apart/here/eps.md || die "the page does not tell of the larger model"
[[ ! -e apart/here/eps-loss-time.svg ]] || die "a picture shows times of runs that were not made together"
expect 0 "${apart[@]}" --quick
grep -q '^| Memory, planned (MiB) | 2.00 | 2.00 |' apart/here-quick/eps.md || die "quick measures the larger model: $(grep planned apart/here-quick/eps.md)"
