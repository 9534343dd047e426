#!/usr/bin/env bash
# Checks and timings on a GPU, in one command:
#
#     bash benchmarks/gpu.sh [OUT]
#
# In this order: the logits in float32 beside the reference's figures; one inference and one training step of each
# network, in float32 and in bfloat16; the convolutions that no library computes; the networks in bfloat16 beside the
# peers, with each recipe's clips a GPU and four times that; the training loop; single layers. What the parts print and
# their JSON files go to the folder OUT (runs/benchmarks/gpu).
#
# It needs `pip install -c constraints.txt -e '.[cuda,test]'`; peers that are not installed are left out. It ends within
# MINUTES (9): each part may take an even share of what is left of them. A part that fails or runs out of time doesn't
# stop the others; it is named at the end, and makes the exit code 1.
#
# FAMILIES, SIDES, BATCHES, SIZE, ROUNDS and SECONDS_EACH narrow it; tiny values of them run it on a CPU, for which they need longer:
#
#     FAMILIES=tsn SIDES=jaxaction BATCHES=1 SIZE=32 ROUNDS=1 SECONDS_EACH=0.001 MINUTES=15 bash benchmarks/gpu.sh
set -euo pipefail
trap 'exit 130' INT
cd "$(dirname "$0")/.."

refuse() {
    echo "gpu.sh: $1" >&2
    exit 2
}

case ${1:-} in
-h | --help) sed -n '2,/^set/s/^# \?//p' benchmarks/gpu.sh && exit ;;
-*) refuse "$1 is no option; see bash benchmarks/gpu.sh --help" ;;
esac
declare -A recipe=([tsn]=32 [tsm]=16 [i3d]=8 [r2plus1d]=8 [slowonly]=16 [slowfast]=8) # clips a GPU
out=${1:-runs/benchmarks/gpu}
families=${FAMILIES:-tsn,tsm,i3d,r2plus1d,slowonly,slowfast}
size=${SIZE:-224}
minutes=${MINUTES:-9}
for family in ${families//,/ }; do
    [[ ${recipe[$family]:-} ]] || refuse "FAMILIES: '$family' is none of tsn, tsm, i3d, r2plus1d, slowonly, slowfast"
done
[[ $minutes =~ ^[1-9][0-9]*$ ]] || refuse "MINUTES: '$minutes' is not a whole number of 1 or more"
python -c 'import jaxaction, pytest, xdist' 2>/dev/null ||
    refuse "jaxaction, pytest or pytest-xdist is missing: pip install -c constraints.txt -e '.[cuda,test]'"
mkdir -p "$out"
export XLA_PYTHON_CLIENT_PREALLOCATE=false # processes share the card

parts=$((6 + $(wc -w <<<"${families//,/ }")))
failed=()
part() { # NAME COMMAND...
    local name=$1 share=$(((60 * minutes - SECONDS) / parts)) code=0
    shift
    parts=$((parts - 1))
    share=$((share > 1 ? share : 1))
    echo "== $name, at most $share s"
    timeout --foreground --signal INT --kill-after 5 "$share" "$@" | tee "$out/$name.txt" || code=$?
    case $code in
    0) ;;
    124 | 137) failed+=("$name ran out of time") ;;
    *) failed+=("$name failed with exit code $code") ;;
    esac
}

one_batch=${BATCHES:-8}
one_batch=${one_batch%%,*}
turns=(--turns 6 --steps 10)
((size >= 224)) || turns=(--turns 2 --steps 1)
part parity env JAX_DEFAULT_MATMUL_PRECISION=highest python -m pytest -q -n 0 -p no:cacheprovider tests/test_parity.py -k "logits and (${families//,/ or })"
for dtype in float32 bfloat16; do
    part "smoke_$dtype" python -m benchmarks.models --families "$families" --size "$size" --dtype "$dtype" \
        --sides jaxaction --batch 2 --rounds 1 --steps 1 --out "$out/smoke_$dtype.json"
done
part hlo python -m benchmarks.hlo --families "$families" --size "$size" --batch "$one_batch"
for family in ${families//,/ }; do
    clips=${recipe[$family]}
    part "models_$family" python -m benchmarks.models --families "$family" --size "$size" --dtype bfloat16 \
        --sides "${SIDES:-jaxaction,mmaction2,mmaction2-compile}" --batch "${BATCHES:-$clips,$((4 * clips))}" \
        --rounds "${ROUNDS:-3}" --steps 3 --out "$out/models_$family.json"
done
part loop python -m benchmarks.loop "${turns[@]}" --out "$out/loop.json"
part layers python -m benchmarks.layers --families "$families" --size "$size" --batch "$one_batch" \
    --dtype bfloat16 --seconds "${SECONDS_EACH:-0.02}" --out "$out/layers.json"
if ((${#failed[@]})); then
    printf 'gpu.sh: %s\n' "${failed[@]}" >&2
    exit 1
fi
