#!/usr/bin/env bash
# All that docs/speed.md measures, on this machine's GPU, kept in benchmarks/results/: about an hour.
# PYTHON chooses the interpreter, MACHINE the name in the files', RESULTS another folder; QUICK=1 tries
# every command at its smallest size, on whatever device JAX finds.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
machine=${MACHINE:-$(nvidia-smi --query-gpu=name --format=csv,noheader | head -1 | tr ' A-Z' '-a-z')}
results=${RESULTS:-benchmarks/results}

keep() { # keep NAME SUFFIX OPTIONS: what the command prints, also where it ends with a complaint
    echo "+ benchmarks.$1 ${*:3}" >&2
    "$python" -m "benchmarks.$1" "${@:3}" --json > "$results/$1-$machine$2.jsonl.partial" || echo "$1: code $?" >&2
    mv "$results/$1-$machine$2.jsonl.partial" "$results/$1-$machine$2.jsonl"
}

if [ -n "${QUICK:-}" ]; then
    short=(--repeats 2 --seconds 0.1)
    keep throughput -float32 --models mlp --batch-sizes 32 "${short[@]}"
    keep rivals -float32 --models mlp --batch-sizes 32 --rivals torch-eager,torch-cudagraphs,jax-scan "${short[@]}"
    keep scaling "" --models mlp --sweeps batch --repeats 1 --seconds 0.1
    keep startup "" --repeats 1
    keep time_to_nll "" --targets 95
    keep streaming "" --models mlp --gigabytes 0.05 --workers 1 --repeats 1 --seconds 0.5
    exit
fi
for precision in float32 bfloat16; do
    keep throughput "-$precision" --precision $precision
done
keep throughput -ladder --models ladder --batch-sizes 128,512,2048
keep rivals -float32 --models mlp,conv --batch-sizes 128,512
keep rivals -bfloat16 --models conv --batch-sizes 512,2048 --precision bfloat16
keep scaling ""
keep startup ""
keep time_to_nll ""
keep streaming "" --batch-size 512
"$python" -m pytest -q tests/training/test_step.py tests/models/test_convolution.py tests/models/test_same_convolution.py tests/models/test_objectives.py
