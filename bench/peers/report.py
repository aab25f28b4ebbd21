"""Statistics of bench/peers/step and its table."""
import statistics


def percentile(values, fraction):
    """Linear between the two nearest."""
    ordered = sorted(values)
    place = fraction * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def counted(entry):
    return [run for run in entry["runs"] if not run["warm_up"]]


def round_medians(entry, untimed):
    return {run["round"]: statistics.median(run["step_s"][untimed:]) for run in counted(entry)}


def ratio_to(entry, first, untimed):
    """The median over rounds: what slows the machine in one round slows both."""
    ours, theirs = round_medians(first, untimed), round_medians(entry, untimed)
    return statistics.median(theirs[number] / ours[number] for number in theirs)


def summarize(entry, first, settings):
    """Adds entry["summary"]; `first` is Lockstep's entry, or None."""
    if entry["state"] != "ran":
        return
    runs, untimed = counted(entry), settings["untimed_steps"]
    times = [t for run in runs for t in run["step_s"][untimed:]]
    median = statistics.median(times)
    memory = "peak_device_bytes" if settings["device"] == "cuda" else "peak_resident_bytes"
    entry["summary"] = {
        "step_s_median": median,
        "step_s_quarter": percentile(times, 0.25),
        "step_s_three_quarters": percentile(times, 0.75),
        "step_s_min": min(times),
        "step_s_max": max(times),
        "timed_steps": len(times),
        "tokens_per_s": settings["batch"] * settings["time"] / median,
        "ratio": ratio_to(entry, first, untimed) if first else None,
        "peak_bytes": max(run[memory] for run in runs),
        "last_loss": runs[-1]["losses"][-1],
    }
    if first and entry.get("same_start"):
        pairs = zip(counted(first)[-1]["losses"], runs[-1]["losses"])
        entry["summary"]["largest_loss_difference"] = max(abs(a - b) / abs(a) for a, b in pairs)


def row(entry):
    program, *kind = entry["name"].split(", ")
    name = ", ".join([" ".join(filter(None, (program, entry["version"]))), *kind])
    if entry["state"] != "ran":
        reason = entry["reason"].replace("|", "\\|")
        return f"| {name} | {entry['state']}: {reason} | | | | | | | |"
    s = entry["summary"]
    ratio = "" if s["ratio"] is None else f"{s['ratio']:.2f}"
    return (f"| {name} | {s['step_s_median']:.4f} | {s['step_s_quarter']:.4f} to {s['step_s_three_quarters']:.4f} | "
            f"{s['step_s_min']:.4f} | {s['step_s_max']:.4f} | {s['tokens_per_s']:.0f} | {ratio} | {s['peak_bytes'] / 2**20:.0f} | "
            f"{s['last_loss']:.4f} |")


def notes(result):
    s, m = result["settings"], result["machine"]
    yield (f"{m['processor']}, {m['cores']} cores, {m['memory_mib']} MiB; {m['system']}; load before the first run {m['load']:.2f}. "
           f"Lockstep's sources: {result['commit']}.")
    yield (f"Times are of {s['steps'] - s['untimed_steps']} steps in each of {s['runs']} runs, in turns, after one run that warms up; the "
           f"first {s['untimed_steps']} steps of a run do not count. A ratio is the median of the rounds' ratios.")
    memory = "what PyTorch allocated on the device, and Lockstep's plan" if s["device"] == "cuda" else "the largest resident memory of the process"
    yield f"Peak memory is {memory}, over all runs. The loss is that of step {s['steps']}, before its update."
    for entry in result["entrants"]:
        for note in entry["notes"] + (entry["runs"][-1].get("notes", []) if entry["runs"] else []):
            yield f"{entry['name']}: {note}."
        difference = entry.get("summary", {}).get("largest_loss_difference")
        if difference is not None and entry["name"] != "Lockstep":
            yield f"{entry['name']}: same weights and same windows; its losses differ from Lockstep's by {difference:.1e} at most."
    if s["bf16"]:
        yield "Ratios of rows in bf16 are to Lockstep's fp32."


def markdown(result):
    s = result["settings"]
    memory = "peak device memory, MiB" if s["device"] == "cuda" else "peak memory, MiB"
    lines = [
        f"One training step of {result['config']}, {s['batch']} x {s['time']} tokens, {s['threads']} threads, {s['device']}, "
        f"{result['date']}",
        "",
        f"| | s/step, median | middle half | min | max | tok/s | time, Lockstep = 1 | {memory} | loss, step {s['steps']} |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(row, result["entrants"]),
        "",
        *(f"- {note}" for note in notes(result)),
    ]
    return "\n".join(lines) + "\n"
