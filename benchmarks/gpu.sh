#!/usr/bin/env bash
# All that the README says of speed, measured on this machine's GPU and kept in benchmarks/results/: about half
# an hour. PYTHON chooses the interpreter, REPEATS how long it takes.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
repeats=${REPEATS:-7}
machine=${MACHINE:-$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr ' A-Z' '-a-z')}
results=benchmarks/results

keep() { # keep NAME SUFFIX OPTIONS: what the command prints, also where it ends with a complaint
    echo "+ benchmarks.$1 ${*:3}" >&2
    "$python" -m "benchmarks.$1" "${@:3}" --json > "$results/$1-$machine$2.jsonl.partial" || echo "$1: code $?" >&2
    mv "$results/$1-$machine$2.jsonl.partial" "$results/$1-$machine$2.jsonl"
}

for precision in float32 bfloat16; do
    keep throughput "-$precision" --precision $precision --repeats "$repeats"
done
keep rivals "-float32" --models mlp,conv --batch-sizes 128,512 --repeats "$repeats"
keep rivals "-bfloat16" --models conv --batch-sizes 512,2048 --precision bfloat16 --repeats "$repeats"
keep startup ""
"$python" -m pytest -q tests/test_step.py tests/test_convolution.py tests/test_objectives.py
