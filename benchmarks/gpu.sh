#!/usr/bin/env bash
# Everything that there is to measure on a GPU, in the Python environment that is active:
#
#     pip install -r requirements.txt "jax[cuda13]" && pip install torch
#     bash benchmarks/gpu.sh
#
# One command after the other, about half an hour; one that fails does not stop the rest.
cd "$(dirname "$0")/.."
# Both libraries share the device: by default JAX would take three quarters of its memory.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0}" # A batch of one is for one device.
python -c 'import sys, jax, torch
if jax.default_backend() != "gpu" or not torch.cuda.is_available():
    sys.exit("error: JAX or PyTorch finds no GPU; see the head of benchmarks/gpu.sh.")' || exit 2

failed=0
measure() {
  echo "== python -m benchmarks.$*"
  python -m "benchmarks.$@" || failed=1
}

peers=eager,channels_last,compile_channels_last
for dtype in float32 bfloat16; do
  for batch in 1 4 16; do
    measure train_step --size=256 --blocks=9 --dtype=$dtype --batch=$batch --peers=$peers
    measure translate --dtype=$dtype --batch=$batch
  done
done
measure train_step --size=256 --blocks=9 --dtype=bfloat16 --no-identity --peers=$peers
measure train_step --dtype=bfloat16 --peers=$peers
measure startup
measure data
measure scaling --memory
measure scaling --scan
exit $failed
