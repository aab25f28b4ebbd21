#!/usr/bin/env python3
"""A plain PyTorch trainer of GPT-2, to be timed beside Lockstep on the same machine.

The model is the one that Lockstep's default configuration describes (Radford et al. 2019): learned positions, LayerNorm
before each mixer, causal attention, GELU by its tanh form, a head tied to the token embedding, no dropout. The step is
Lockstep's too: AdamW with decay on matrices and embeddings only, gradients clipped by their norm, cross-entropy in fp32.
"""
import argparse
import json
import math
import platform
import resource
import statistics
import sys
import time
from typing import NamedTuple

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
  torch_gpt.py --layers 2 --width 64 --heads 2 --vocab 256 --context 32 --batch 2 --attention math
"""


class Shape(NamedTuple):
    layers: int
    width: int
    heads: int
    vocab: int
    context: int


MODELS = {
    "tiny": Shape(4, 128, 4, 256, 128),  # configs/tiny.yaml
    "gpt2-124m": Shape(12, 768, 12, 50257, 1024),
    "gpt2-355m": Shape(24, 1024, 16, 50257, 1024),
    "gpt2-774m": Shape(36, 1280, 20, 50257, 1024),
    "gpt2-1558m": Shape(48, 1600, 25, 50257, 1024),
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
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                # GPT-2 starts what adds to the residual stream smaller, by the number of such additions.
                residual = name.endswith(("proj.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * o.layers) if residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        if o.tie:
            self.head.weight = self.wte.weight

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def make_optimizer(model, o):
    """AdamW, fused where this PyTorch has it for the device; also the words that say which it became."""
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
    steps = o.warmup_steps + o.steps
    if step < o.lr_warmup:
        return o.lr * step / o.lr_warmup
    if o.schedule == "constant":
        return o.lr
    progress = min(1.0, (step - o.lr_warmup) / max(1, steps - o.lr_warmup))
    return o.lr * max(o.min_lr_ratio, 0.5 * (1 + math.cos(math.pi * progress)))


def read_data(path):
    """The bytes of a file are its tokens."""
    with open(path, "rb") as file:
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)


def next_batch(data, generator, o):
    """Windows at random places and what follows each token; without data, random tokens."""
    if data is None:
        windows = torch.randint(o.vocab, (o.batch, o.time + 1), generator=generator)
    else:
        starts = torch.randint(len(data) - o.time, (o.batch, 1), generator=generator)
        windows = data[starts + torch.arange(o.time + 1)].long()
    windows = windows.to(o.device)
    return windows[:, :-1], windows[:, 1:]


def train_step(model, optimizer, tokens, targets, rate, o):
    """Returns the loss before the update."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(o.device, dtype=torch.bfloat16, enabled=o.dtype == "bf16"):
        logits = model(tokens)
    loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
    loss.backward()
    if o.clip > 0:
        nn.utils.clip_grad_norm_(model.parameters(), o.clip)
    optimizer.step()
    if o.device == "cuda":
        torch.cuda.synchronize()
    return loss.item()


def peak_resident_bytes():
    """The same counter that Lockstep's process is read by; elsewhere than on Linux what comes nearest."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def processor_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.split(":", 1)[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def train(o):
    """All steps; returns what is reported."""
    torch.manual_seed(o.seed)
    generator = torch.Generator().manual_seed(o.seed)
    model = GPT(o).to(o.device)
    optimizer, optimizer_name = make_optimizer(model, o)
    stepped = torch.compile(model) if o.compile else model
    losses, seconds = [], []
    for step in range(o.warmup_steps + o.steps):
        begin = time.perf_counter()
        tokens, targets = next_batch(o.text, generator, o)
        losses.append(train_step(stepped, optimizer, tokens, targets, learning_rate(step, o), o))
        seconds.append(time.perf_counter() - begin)
        if step % max(1, (o.warmup_steps + o.steps) // 20) == 0:
            print(f"step {step}  loss {losses[-1]:.4f}  {seconds[-1]:.4f} s", file=sys.stderr, flush=True)
    timed = seconds[o.warmup_steps :]
    cuda = o.device == "cuda"
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": processor_name(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "optimizer": optimizer_name,
        "attention": o.attention,
        "dtype": o.dtype,
        "compiled": o.compile,
        "parameters": sum(p.numel() for p in model.parameters()),
        "batch": o.batch,
        "time": o.time,
        "step_s_median": statistics.median(timed),
        "step_s_min": min(timed),
        "step_s_max": max(timed),
        "tok_per_s": o.batch * o.time / statistics.median(timed),
        "peak_resident_bytes": peak_resident_bytes(),
        "peak_device_bytes": torch.cuda.max_memory_allocated() if cuda else 0,
        "step_s": timed,
        "losses": losses,
    }


def print_report(r):
    mib = 1 / 1048576
    device = "" if r["device"] == "cpu" else f", on {r['device']}: {r['peak_device_bytes'] * mib:.0f} MiB"
    kind = f"{r['dtype']}, {r['attention']} attention, {r['optimizer']}{', compiled' if r['compiled'] else ''}"
    print(f"machine   {r['cpu']}, {r['threads']} threads; device {r['device']}")
    print(f"software  torch {r['torch']}, Python {r['python']}; {kind}")
    print(f"model     {r['parameters']} parameters, {r['batch']} x {r['time']} tokens a step")
    print(f"s/step    median {r['step_s_median']:.4f}, min {r['step_s_min']:.4f}, max {r['step_s_max']:.4f} "
          f"over {len(r['step_s'])} steps; {r['tok_per_s']:.0f} tok/s")
    print(f"memory    peak resident {r['peak_resident_bytes'] * mib:.0f} MiB{device}")
    print(f"loss      {r['losses'][0]:.6f} at first, {r['losses'][-1]:.6f} in step {len(r['losses']) - 1}")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=MODELS, default="gpt2-124m", help="a known shape (default %(default)s); each part of it "
        "can be set:")
    for part in Shape._fields:
        add(f"--{part}", type=int)
    add("--hidden", type=int, help="channels inside the feed-forward layer (default 4 x width)")
    add("--bias", action=argparse.BooleanOptionalAction, default=True, help="of linear layers and norms")
    add("--tie", action=argparse.BooleanOptionalAction, default=True, help="the head is the token embedding")
    add("--attention", choices=("sdpa", "math"), default="sdpa", help="PyTorch's own op, or three of them")
    add("--batch", type=int, default=4, help="sequences a step (default %(default)s)")
    add("--time", type=int, help="tokens a sequence (default: the context)")
    add("--steps", type=int, default=10, help="timed steps (default %(default)s)")
    add("--warmup-steps", type=int, default=2, help="steps before them, not timed (default %(default)s)")
    add("--data", help="train on the bytes of this file (default: random tokens)")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--dtype", choices=("fp32", "bf16"), default="fp32", help="bf16 is autocast over fp32 parameters")
    add("--tf32", action="store_true", help="on cuda, fp32 products may use TF32")
    add("--compile", action="store_true", help="torch.compile the model; the first step then takes minutes")
    add("--threads", type=int, help="processor threads (default: PyTorch's choice)")
    add("--lr", type=float, default=6e-4, help="highest learning rate (default %(default)s)")
    add("--lr-warmup", type=int, default=0, help="steps in which it rises from 0 (default %(default)s)")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="after that (default %(default)s)")
    add("--min-lr-ratio", type=float, default=0.1, help="floor of the cosine (default %(default)s)")
    add("--weight-decay", type=float, default=0.1)
    add("--betas", type=float, nargs=2, default=(0.9, 0.95), metavar=("BETA1", "BETA2"))
    add("--eps", type=float, default=1e-8)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient; 0: off (default %(default)s)")
    add("--seed", type=int, default=1337)
    add("--json", action="store_true", help="print one JSON object, with the time and loss of each step")
    return parser, parser.parse_args()


def main():
    parser, o = parse_options()
    for part, value in MODELS[o.model]._asdict().items():
        setattr(o, part, value if getattr(o, part) is None else getattr(o, part))
    o.time = o.time or o.context
    o.hidden = o.hidden or 4 * o.width
    for part in (*Shape._fields, "hidden", "batch", "time", "steps"):
        if getattr(o, part) < 1:
            parser.error(f"--{part.replace('_', '-')} must be positive")
    if o.width % o.heads:
        parser.error(f"--heads {o.heads} does not divide --width {o.width}")
    if o.time > o.context:
        parser.error(f"--time {o.time} is more than --context {o.context}")
    if o.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: this PyTorch sees no CUDA device")
    try:
        o.text = read_data(o.data) if o.data else None
    except (OSError, ValueError) as error:
        parser.error(f"--data {o.data}: {error}")
    if o.text is not None and len(o.text) <= o.time:
        parser.error(f"--data {o.data}: holds {len(o.text)} tokens, but one sequence takes {o.time} and the next")
    if o.text is not None and o.text.max() >= o.vocab:
        parser.error(f"--data {o.data}: byte {o.text.max()} is outside --vocab {o.vocab}")
    if o.threads:
        torch.set_num_threads(o.threads)
    if o.tf32:
        torch.backends.cuda.matmul.allow_tf32 = True
    report = train(o)
    print(json.dumps(report)) if o.json else print_report(report)


if __name__ == "__main__":
    main()
