# histobench on a CPU, installed by the first command of the README:
#   docker build -t histobench .
#   docker run --rm -v "$PWD/results:/results" -v histobench:/store histobench run --generator ldm-prompt --task cam16-seg --out /results
FROM python:3.11-slim
WORKDIR /histobench
# torch without CUDA: 2 GB less
ENV PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu PIP_NO_CACHE_DIR=1
COPY . .
RUN python3 -m venv .venv && .venv/bin/pip install .
ENV PATH=/histobench/.venv/bin:$PATH BENCH_HOME=/store
WORKDIR /work
RUN bench list
ENTRYPOINT ["bench"]
CMD ["list"]
