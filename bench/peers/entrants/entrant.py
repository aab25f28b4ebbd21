"""What the entrants of bench/peers/step share.

An entrant is a program with two verbs. Both take the path of a job, a JSON file that bench/peers/step wrote: shape, recipe,
batch, files, a scratch folder of the entrant's own.

  ENTRANT prepare JOB   checks that all is there, builds, writes its files; prints {"version", "notes"} as one line of JSON
  ENTRANT run JOB       one run; prints {"step_s", "losses", "peak_resident_bytes", ...} as one line of JSON: all steps

Exit status 77 and a line on standard error: what it needs is not here. Any other but 0: it failed, and the last line says why.

This file and the entrants import nothing but the standard library: they start the programs that are measured, and a process
begins with the peak of the one it was started from.
"""
import hashlib
import json
import os
import subprocess
import sys

SKIPPED = 77
PYTHON = os.environ.get("PYTHON", "python3")
PEERS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def fail(reason):
    sys.exit(f"{reason}")


def skip(reason):
    print(reason, file=sys.stderr)
    sys.exit(SKIPPED)


def last_line(path):
    with open(path, encoding="utf-8", errors="replace") as log:
        lines = [line.strip() for line in log if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def run_measured(job, words, **settings):
    """Runs a program with the job's threads; returns what it printed and the largest resident memory that it had."""
    out, log = (os.path.join(job["scratch"], name) for name in ("printed", "complaints"))
    environment = dict(os.environ, OMP_NUM_THREADS=str(job["threads"]), LC_ALL="C", TMPDIR=job["scratch"])
    with open(out, "wb") as stdout, open(log, "wb") as stderr:
        child = subprocess.Popen(words, stdout=stdout, stderr=stderr, stdin=subprocess.DEVNULL, env=environment, **settings)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        code = f"status {child.returncode}" if child.returncode > 0 else f"signal {-child.returncode}"
        fail(f"{os.path.basename(words[0])} ended with {code}: {last_line(log if os.path.getsize(log) else out)}")
    with open(out, encoding="utf-8", errors="replace") as text:
        return text.read(), usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def python_has(module):
    """The version of a module of $PYTHON, or None."""
    words = [PYTHON, "-c", f"import {module}; print({module}.__version__)"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def source_version(folder, source):
    """The commit of a checkout; without one, the hash of its main file."""
    if os.path.exists(os.path.join(folder, ".git")):
        done = subprocess.run(["git", "-C", folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout.strip()[:12]
    with open(os.path.join(folder, source), "rb") as file:
        return f"{source} sha256 {hashlib.sha256(file.read()).hexdigest()[:12]}"


def check_length(job, step_s, losses):
    for name, values in (("times", step_s), ("losses", losses)):
        if len(values) != job["steps"]:
            fail(f"{len(values)} {name} of {job['steps']} steps could be read from what it printed")


def main(prepare, run):
    if len(sys.argv) != 3 or sys.argv[1] not in ("prepare", "run"):
        fail(f"usage: {os.path.basename(sys.argv[0])} prepare|run JOB.json; bench/peers/step calls it")
    with open(sys.argv[2], encoding="utf-8") as file:
        job = json.load(file)
    os.makedirs(job["scratch"], exist_ok=True)
    print(json.dumps(prepare(job) if sys.argv[1] == "prepare" else run(job)))
