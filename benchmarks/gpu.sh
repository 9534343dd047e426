#!/usr/bin/env bash
# All GPU checks and timings in one command:
#
#     bash benchmarks/gpu.sh [OUT]
#
# First one training and one inference step of each family, float32 against the parity figures, then bfloat16; then
# the convolutions that no library computes; then the timings beside the peers. What is found goes to OUT (a folder).
# Batches are each recipe's clips a GPU, and four times that.
# FAMILIES, SIDES, BATCHES, SIZE, ROUNDS and SECONDS_EACH narrow it; tiny values of them run it on a CPU.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-benchmarks/results/gpu}
families=${FAMILIES:-tsn,tsm,i3d,r2plus1d,slowonly,slowfast}
sides=${SIDES:-jaxaction,mmaction2,mmaction2-compile}
size=${SIZE:-224}
mkdir -p "$out"
export XLA_PYTHON_CLIENT_PREALLOCATE=false # the sides share the card
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/jaxaction/xla}
smoke=(--families "$families" --size "$size" --batch 2 --sides jaxaction --rounds 1 --steps 1)

echo "== float32 against the reference's figures"
python -m pytest -q -n 0 -p no:cacheprovider tests/test_parity.py -k logits
echo "== one step each"
python -m benchmarks.models "${smoke[@]}" --dtype float32 --out "$out/smoke_float32.json"
python -m benchmarks.models "${smoke[@]}" --dtype bfloat16 --out "$out/smoke_bfloat16.json"
echo "== convolutions that no library computes"
python -m benchmarks.hlo --families "$families" --size "$size" | tee "$out/hlo.txt" || true
echo "== timings in bfloat16"
declare -A recipe=([tsn]=32 [tsm]=16 [i3d]=8 [r2plus1d]=8 [slowonly]=16 [slowfast]=8) # clips a GPU
for family in ${families//,/ }; do
    clips=${recipe[$family]}
    python -m benchmarks.models --families "$family" --sides "$sides" --size "$size" --dtype bfloat16 \
        --batch "${BATCHES:-$clips,$((4 * clips))}" --rounds "${ROUNDS:-3}" --steps 3 --out "$out/models_$family.json" |
        tee "$out/models_$family.md"
done
python -m benchmarks.layers --families slowfast --size "$size" --batch 8 --dtype bfloat16 \
    --seconds "${SECONDS_EACH:-0.02}" --out "$out/layers.json" | tee "$out/layers.md"
