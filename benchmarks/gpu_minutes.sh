#!/usr/bin/env bash
# What one GPU can tell in eight minutes, the most valuable first:
#
#     bash benchmarks/gpu_minutes.sh --pack    # Before, with a network: build/gpu_wheels
#     bash benchmarks/gpu_minutes.sh           # On the GPU, which needs none
#
# The GPU's machine needs Python 3.12, JAX for CUDA and PyTorch; what else is missing is
# installed from the packed wheels. Every stage has a limit in seconds and writes as it
# goes, into $OUT (benchmarks/results/gpu); one that fails does not stop the rest.
# HORSES=horse2zebra.zip trains on it in the remaining time. REHEARSE=1 runs the same
# stages on a CPU with tiny networks: its figures mean nothing.
set -u
cd "$(dirname "$0")/.."
WHEELS=build/gpu_wheels

if [ "${1:-}" = --pack ]; then # Without TFDS, which these stages do not use.
  mkdir -p "$WHEELS"
  grep -vE '^(jax|flax|optax|orbax-|numpy|pillow|tensorflow-|array_record)' \
    requirements.txt > "$WHEELS/requirements.txt"
  python -m pip download --quiet --dest "$WHEELS" --python-version 3.12 \
    --only-binary=:all: -r "$WHEELS/requirements.txt" pytest || exit
  cd "$WHEELS" && rm -f {jax,jaxlib,numpy,scipy,ml_dtypes,tensorstore,chex}-*.whl
  exec du -sh .
fi

OUT=${OUT:-benchmarks/results/gpu}
PYTHON=${PYTHON:-python}
END=$((SECONDS + ${MINUTES:-8} * 60))
mkdir -p "$OUT"
SUMMARY=$OUT/summary.txt
: > "$SUMMARY"
# Both libraries share the device: by default JAX would take three quarters of its memory.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}" # A batch of one is for one device.

# stage NAME LIMIT PATTERN COMMAND...: runs it, and keeps the lines that match.
stage() {
  local name=$1 limit=$2 pattern=$3 left=$((END - SECONDS)) start=$SECONDS status
  shift 3
  if [ $left -lt 10 ]; then
    echo "$name | no time left" | tee -a "$SUMMARY"
    return
  fi
  [ $left -lt "$limit" ] && limit=$left
  echo "== $name: $*"
  timeout -s INT -k 10 "$limit" "$@" 2>&1 | tee "$OUT/$name.log"
  status=${PIPESTATUS[0]}
  echo "$name | status $status | $((SECONDS - start)) s" >> "$SUMMARY"
  grep -E "$pattern" "$OUT/$name.log" | tail -12 | sed 's/^/    /' >> "$SUMMARY"
}

if [ -d "$WHEELS" ]; then # Only what is missing: what is there stays as it is.
  names=$(cd "$WHEELS" && ls -- *.whl | sed 's/-.*//')
  $PYTHON -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
    --find-links "$WHEELS" $names 2>&1 | tail -3
fi
if [ -n "${REHEARSE:-}" ]; then
  export JAX_PLATFORMS=cpu
  SHAPE="--size=32 --blocks=1 --rounds=2" PEERS=eager COMPILED=eager CONFIG=configs/streets.py:smoke
else
  $PYTHON -c 'import sys, jax, torch
if jax.default_backend() != "gpu" or not torch.cuda.is_available():
    sys.exit("error: JAX or PyTorch finds no GPU; see the head of benchmarks/gpu_minutes.sh.")' || exit 2
  SHAPE="--size=256 --blocks=9 --rounds=7" PEERS=eager,channels_last
  COMPILED=eager,compile_channels_last CONFIG=configs/streets.py
fi
RECORD=--output=$OUT/train_step.jsonl
step() { $PYTHON -m benchmarks.train_step $SHAPE $RECORD "$@"; }
export -f step
export PYTHON SHAPE RECORD

train() { # FOLDER
  $PYTHON train.py --config=$CONFIG --workdir="$1" --config.max_steps=20 \
    --config.sample_every_steps=0 --config.log_every_steps=5
}
twice() {
  rm -rf "$OUT/run1" "$OUT/run2"
  train "$OUT/run1" && train "$OUT/run2" \
    && $PYTHON -m cyclegan_jax.fingerprint "$OUT/run1" "$OUT/run2"
}
export -f train twice
export CONFIG OUT

# (a) The same numbers as on a CPU, twice the same.
stage parity 90 'parity' env JAX_DEFAULT_MATMUL_PRECISION=highest \
  $PYTHON -m benchmarks.parity train_lsgan_adam train_wgangp_sgd
stage determinism 100 'same|differ|error' bash -c twice
# (b) A step's time and memory, beside PyTorch's.
stage bfloat16_1 100 '^\|' bash -c "step --dtype=bfloat16 --no-float32 --peers=$COMPILED"
stage float32_1 80 '^\|' bash -c "step --peers=$PEERS"
stage bfloat16_16 80 '^\|' bash -c "step --dtype=bfloat16 --no-float32 --batch=16 --peers=$PEERS"
# (c) Where a step's time goes.
stage operations 60 '^\|' $PYTHON -m benchmarks.operations ${SHAPE% --rounds*} \
  --dtype=bfloat16 --output="$OUT/operations.jsonl"
stage upsampling 40 '^\|' $PYTHON -m benchmarks.upsampling ${REHEARSE:+--size=8}
# (d) What deterministic programs cost.
for flags in --xla_gpu_deterministic_ops=true --xla_gpu_exclude_nondeterministic_ops=true; do
  [ -n "${REHEARSE:-}" ] && break
  stage "${flags#--xla_gpu_}" 60 '^\|' env XLA_FLAGS=$flags \
    bash -c "step --dtype=bfloat16 --no-float32 --peers="
done
# (e) The real thing, while time is left.
if [ -n "${HORSES:-}" ]; then
  stage horse2zebra 600 'step|images|error' $PYTHON train.py --config=configs/horse2zebra.py \
    --workdir="$OUT/horses" --config.data.dataset=folder --config.data.path="$HORSES" \
    --config.compute_dtype=bfloat16 --config.sample_every_steps=200
fi

echo
cat "$SUMMARY"
! grep -qE '\| status ([1-9]|1[0-13-9])' "$SUMMARY"
