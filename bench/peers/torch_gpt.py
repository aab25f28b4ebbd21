#!/usr/bin/env python3
"""A plain PyTorch trainer of GPT-2, to be timed beside Lockstep on the same machine.

The model is the one that Lockstep's default configuration describes (Radford et al. 2019): learned positions, LayerNorm
before each mixer, causal attention, GELU by its tanh form, a head tied to the token embedding; there is no dropout. The
step is Lockstep's too: AdamW with decay on matrices and embeddings only, gradients clipped by their norm, cross-entropy
in fp32. With --order and --weights it trains on Lockstep's windows from Lockstep's weights: then both follow the same losses.
README.md, beside this file, says how to install PyTorch and what is compared.
"""
import argparse
import json
import math
import platform
import resource
import statistics
import sys
import time
from importlib.util import find_spec

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ImportError as error:
    sys.exit(f"torch_gpt.py: {error}; bench/peers/README.md tells how to install PyTorch")

EXAMPLES = """examples:
  torch_gpt.py --model gpt2-124m --batch 4 --time 64 --threads 2
  torch_gpt.py --model tiny --batch 16 --data stories.txt --steps 600 --lr 2e-3 --lr-warmup 50 --schedule cosine
  torch_gpt.py --model gpt2-124m --device cuda --dtype bf16 --compile --batch 16 --json
  torch_gpt.py --model tiny --batch 4 --data stories.txt --order order.txt --weights runs/zero/ckpt/step-00000000
  torch_gpt.py --layers 2 --width 64 --heads 2 --vocab 256 --context 32 --batch 2 --attention math
"""
SHAPE = ("layers", "width", "heads", "vocab", "context")
MODELS = {
    "tiny": (4, 128, 4, 256, 128),  # as configs/tiny.yaml
    "gpt2-124m": (12, 768, 12, 50257, 1024),
    "gpt2-355m": (24, 1024, 16, 50257, 1024),
    "gpt2-774m": (36, 1280, 20, 50257, 1024),
    "gpt2-1558m": (48, 1600, 25, 50257, 1024),
}


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads, self.attention = o.heads, o.attention
        self.norm1 = nn.LayerNorm(o.width, eps=1e-5, bias=o.bias)
        self.qkv = nn.Linear(o.width, 3 * o.width, bias=o.bias)
        self.proj = nn.Linear(o.width, o.width, bias=o.bias)
        self.norm2 = nn.LayerNorm(o.width, eps=1e-5, bias=o.bias)
        self.up = nn.Linear(o.width, o.hidden, bias=o.bias)
        self.down = nn.Linear(o.hidden, o.width, bias=o.bias)

    def attend(self, x):
        batch, length, width = x.shape
        # Each of q, k, v is [batch, heads, length, width / heads].
        q, k, v = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        if self.attention == "sdpa":
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
            scores = q @ k.transpose(-2, -1) / math.sqrt(width // self.heads)
            y = scores.masked_fill(future, -math.inf).softmax(-1) @ v
        return self.proj(y.transpose(1, 2).reshape(batch, length, width))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.wte = nn.Embedding(o.vocab, o.width)
        self.wpe = nn.Embedding(o.context, o.width)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = nn.LayerNorm(o.width, eps=1e-5, bias=o.bias)
        self.head = nn.Linear(o.width, o.vocab, bias=False)
        if o.tie:
            self.head.weight = self.wte.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # GPT-2 starts what adds to the residual stream smaller, by the number of such additions.
                residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * o.layers) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


PARTS = {"ln1": "norm1", "attn.qkv": "qkv", "attn.proj": "proj", "ln2": "norm2", "ffn.up": "up", "ffn.down": "down"}
KINDS = {"w": "weight", "b": "bias"}


def name_here(name):
    """What a parameter of a checkpoint is called in GPT."""
    if name in ("wte", "wpe"):
        return f"{name}.weight"
    part, kind = name.rsplit(".", 1)
    if part in ("ln_f", "head"):
        return f"{'norm' if part == 'ln_f' else part}.{KINDS[kind]}"
    layer, part = part.split(".", 1)
    return f"blocks.{layer[1:]}.{PARTS[part]}.{KINDS[kind]}"


def load_weights(model, folder):
    """Fills all parameters from a checkpoint; an error where it has others. A tied head is not in one."""
    from checkpoint import read_parameters  # needs h5py, which nothing else here does

    held = {name_here(name): values for name, values in read_parameters(folder).items()}
    wanted = dict(model.named_parameters())
    if set(held) != set(wanted):
        raise ValueError(f"it has other parameters than this model: {', '.join(sorted(set(held) ^ set(wanted)))}")
    with torch.no_grad():
        for name, parameter in wanted.items():
            if parameter.shape != held[name].shape:
                raise ValueError(f"{name} is {list(held[name].shape)} there and {list(parameter.shape)} here")
            parameter.copy_(torch.from_numpy(held[name]))


def make_optimizer(model, o):
    """AdamW and the words that say which: fused where this PyTorch has that for the device."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": o.weight_decay},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    settings = {"lr": o.lr, "betas": tuple(o.betas), "eps": o.eps}
    try:
        return torch.optim.AdamW(groups, fused=True, **settings), "AdamW, fused"
    except (RuntimeError, TypeError):
        return torch.optim.AdamW(groups, **settings), "AdamW, not fused"


def learning_rate(step, o):
    """The schedules of src/train/schedule.c, for a step counted from 0."""
    if step < o.lr_warmup:
        return o.lr * step / o.lr_warmup
    if o.schedule == "constant":
        return o.lr
    progress = (step - o.lr_warmup) / max(1, o.warmup_steps + o.steps - o.lr_warmup)
    return o.lr * max(o.min_lr_ratio, 0.5 * (1 + math.cos(math.pi * progress)))


def read_data(path, o):
    """The bytes of a file are its tokens."""
    with open(path, "rb") as file:
        content = file.read()
    if len(content) <= o.time:
        raise ValueError(f"holds {len(content)} tokens, but a sequence takes {o.time} and the one after it")
    if max(content) >= o.vocab:
        raise ValueError(f"byte {max(content)} is outside of --vocab {o.vocab}")
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def read_order(path, length, o):
    """Where the windows of each step begin, from what `lockstep data order` prints: [steps, batch]."""
    steps = o.warmup_steps + o.steps
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip() and not line.startswith("#")]
    if any(len(row) != 6 or not all(word.isdigit() for word in row) for row in rows):
        raise ValueError("a line is not 'step slot micro row source offset'; lockstep data order writes such files")
    numbers = [int(row[0]) for row in rows]
    if any(numbers.count(number) != o.batch for number in set(numbers[:1] + numbers[-1:])):
        raise ValueError(f"a step has not --batch {o.batch} sequences")
    if len(rows) < steps * o.batch:
        raise ValueError(f"holds {len(rows)} sequences, but {steps} steps of {o.batch} take {steps * o.batch}")
    if any(int(row[4]) for row in rows):
        raise ValueError("has several sources; --data is one")
    starts = torch.tensor([int(row[5]) for row in rows[: steps * o.batch]]).view(steps, o.batch)
    if starts.max() + o.time >= length:
        raise ValueError(f"a window at {starts.max()} ends beyond the {length} tokens of --data; is it of other data?")
    return starts


def next_batch(data, order, step, generator, o):
    """The windows of a step, else windows at random places, and what follows each of their tokens; without data, random tokens."""
    if data is None:
        windows = torch.randint(o.vocab, (o.batch, o.time + 1), generator=generator)
    else:
        starts = torch.randint(len(data) - o.time, (o.batch,), generator=generator) if order is None else order[step]
        windows = data[starts[:, None] + torch.arange(o.time + 1)].long()
    windows = windows.to(o.device)
    return windows[:, :-1], windows[:, 1:]


def train_step(model, optimizer, tokens, targets, rate, o):
    """Returns the loss before the update."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(o.device, dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
        logits = model(tokens)
    if o.dtype != "fp64":
        logits = logits.float()
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    if o.clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), o.clip)
    optimizer.step()
    if o.device == "cuda":
        torch.cuda.synchronize()
    return loss.item()


def peak_resident_bytes():
    """The counter that Lockstep is read by; without /proc, what comes nearest (in bytes on macOS, else in KiB)."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def processor_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def train(data, order, o):
    """All steps; returns what is reported."""
    libraries = peak_resident_bytes()
    torch.manual_seed(o.seed)
    generator = torch.Generator().manual_seed(o.seed)
    model = GPT(o).to(o.device, torch.float64 if o.dtype == "fp64" else torch.float32)
    if o.weights:
        try:
            load_weights(model, o.weights)
        except (OSError, KeyError, ValueError) as error:
            sys.exit(f"torch_gpt.py: --weights {o.weights}: {error}")
    optimizer, optimizer_name = make_optimizer(model, o)
    compiled = torch.compile(model) if o.compile else model
    losses, seconds, steps = [], [], o.warmup_steps + o.steps
    for step in range(steps):
        begin = time.perf_counter()
        tokens, targets = next_batch(data, order, step, generator, o)
        losses.append(train_step(compiled, optimizer, tokens, targets, learning_rate(step, o), o))
        seconds.append(time.perf_counter() - begin)
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            print(f"step {step}/{steps}  loss {losses[-1]:.4f}  {seconds[-1]:.4f} s", file=sys.stderr, flush=True)
    timed, cuda = seconds[o.warmup_steps :], o.device == "cuda"
    return {
        "name": "torch_gpt.py",
        "version": torch.__version__,
        "python": platform.python_version(),
        "cpu": processor_name(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "kind": f"{o.dtype}, {o.attention} attention, {optimizer_name}" + (", compiled" if o.compile else ""),
        "parameters": sum(p.numel() for p in model.parameters()),
        "batch": o.batch,
        "time": o.time,
        "step_s_median": statistics.median(timed),
        "step_s_min": min(timed),
        "step_s_max": max(timed),
        "tok_per_s": o.batch * o.time / statistics.median(timed),
        "peak_resident_bytes": peak_resident_bytes(),
        "libraries_resident_bytes": libraries,
        "peak_device_bytes": torch.cuda.max_memory_allocated() if cuda else 0,
        "untimed_steps": o.warmup_steps,
        "step_s": seconds,
        "losses": losses,
    }


def print_report(r):
    mib = 1 / 1048576
    print(f"machine   {r['cpu']}, {r['threads']} threads; device {r['device']}")
    print(f"software  torch {r['version']}, Python {r['python']}; {r['kind']}")
    print(f"model     {r['parameters']} parameters, {r['batch']} x {r['time']} tokens a step")
    print(f"s/step    median {r['step_s_median']:.4f}, min {r['step_s_min']:.4f}, max {r['step_s_max']:.4f} "
          f"over {len(r['step_s']) - r['untimed_steps']} steps; {r['tok_per_s']:.0f} tok/s")
    print(f"memory    peak resident {r['peak_resident_bytes'] * mib:.0f} MiB, of which "
          f"{r['libraries_resident_bytes'] * mib:.0f} before the model; device {r['peak_device_bytes'] * mib:.0f} MiB")
    print(f"loss      {r['losses'][0]:.6f} in step 0, {r['losses'][-1]:.6f} in step {len(r['losses']) - 1}")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, usage="torch_gpt.py [options]",
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=MODELS, default="gpt2-124m", help="a known shape (default %(default)s); each of the next "
        "options replaces a part of it")
    for part in SHAPE:
        add(f"--{part}", type=int, metavar="N")
    add("--hidden", type=int, metavar="N", help="channels inside the feed-forward layer (default 4 x width)")
    add("--bias", action=argparse.BooleanOptionalAction, default=True, help="of linear layers and norms")
    add("--tie", action=argparse.BooleanOptionalAction, default=True, help="the head is the token embedding")
    add("--attention", choices=("sdpa", "math"), default="sdpa", help="one op of PyTorch, or written out")
    add("--batch", type=int, default=4, metavar="N", help="sequences a step (default %(default)s)")
    add("--time", type=int, metavar="N", help="tokens a sequence (default: the context)")
    add("--steps", type=int, default=10, metavar="N", help="timed steps (default %(default)s)")
    add("--warmup-steps", type=int, default=2, metavar="N", help="steps before them, not timed (default %(default)s)")
    add("--data", metavar="FILE", help="train on the bytes of this file (default: random tokens)")
    add("--order", metavar="FILE", help="the windows of --data in this order, which 'lockstep data order' printed "
        "(default: at random places)")
    add("--weights", metavar="FOLDER", help="start from this checkpoint of Lockstep, which 'lockstep train --set "
        "train.steps=0' makes; without h5py, from an own draw")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", choices=("fp32", "fp64", "bf16"), default="fp32",
        help="bf16 is autocast over fp32 parameters")
    add("--compile", action="store_true", help="torch.compile the model; the first step then takes long")
    add("--threads", type=int, metavar="N", help="processor threads (default: PyTorch's choice)")
    add("--lr", type=float, default=6e-4, help="highest learning rate (default %(default)s)")
    add("--lr-warmup", type=int, default=0, metavar="N", help="steps in which it rises from 0 (default %(default)s)")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="after that (default %(default)s)")
    add("--min-lr-ratio", type=float, default=0.1, metavar="R", help="floor of the cosine (default %(default)s)")
    add("--weight-decay", type=float, default=0.1, metavar="R", help="(default %(default)s)")
    add("--betas", type=float, nargs=2, default=(0.9, 0.95), metavar="B", help="(default 0.9 0.95)")
    add("--eps", type=float, default=1e-8, metavar="R", help="(default %(default)s)")
    add("--clip", type=float, default=1.0, metavar="R", help="largest gradient norm; 0: off (default %(default)s)")
    add("--seed", type=int, default=1337, metavar="N", help="of weights and data (default %(default)s)")
    add("--json", action="store_true", help="print one JSON object, with the time and loss of each step")
    return parser, parser.parse_args()


def main():
    parser, o = parse_options()
    for part, value in zip(SHAPE, MODELS[o.model]):
        setattr(o, part, value if getattr(o, part) is None else getattr(o, part))
    o.time = o.context if o.time is None else o.time
    o.hidden = 4 * o.width if o.hidden is None else o.hidden
    for part in (*SHAPE, "hidden", "batch", "time", "steps"):
        if getattr(o, part) < 1:
            parser.error(f"--{part} must be positive")
    if o.width % o.heads:
        parser.error(f"--heads {o.heads} does not divide --width {o.width}")
    if o.time > o.context:
        parser.error(f"--time {o.time} is more than --context {o.context}")
    if o.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch sees no CUDA device")
    if o.order and not o.data:
        parser.error("--order: windows of what? name the text with --data")
    if o.weights and not find_spec("h5py"):
        print("torch_gpt.py: --weights needs h5py, which this Python has not; the weights are of an own draw", file=sys.stderr)
        o.weights = None
    named = f"--data {o.data}"
    try:
        data = read_data(o.data, o) if o.data else None
        named = f"--order {o.order}"
        order = read_order(o.order, len(data), o) if o.order else None
    except (OSError, ValueError) as error:
        parser.error(f"{named}: {error}")
    if o.threads:
        torch.set_num_threads(o.threads)
    report = train(data, order, o)
    if o.json:
        print(json.dumps(report))
    else:
        print_report(report)


if __name__ == "__main__":
    main()
