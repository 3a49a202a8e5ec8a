# docker build -t cyclegan_jax .                                      # for CPUs
# docker build -t cyclegan_jax --build-arg ACCELERATOR=cuda13 .       # NVIDIA; or cuda12
# docker run --rm -v "$PWD/runs:/cyclegan_jax/runs" cyclegan_jax \
#     train --config=streets                                          # GPUs: add --gpus=all
#
# Not built yet with Docker itself: tests/test_docker.py carries out its steps, for CPUs,
# outside a container. For GPUs the host needs NVIDIA's driver and container toolkit only.
FROM python:3.11-slim-bookworm
ARG ACCELERATOR=cpu
WORKDIR /cyclegan_jax
COPY requirements.txt requirements.lock ./
RUN python -m pip install --no-cache-dir -c requirements.lock -r requirements.txt
RUN if [ "$ACCELERATOR" != cpu ]; then python -m pip install --no-cache-dir -c requirements.lock "jax[$ACCELERATOR]"; fi
COPY . .
# For --user: any user may write here. Mount a folder to keep compiled programs.
ENV XDG_CACHE_HOME=/tmp/cache
ENTRYPOINT ["python", "-m", "cyclegan_jax"]
CMD ["--help"]
