# This checkout in, one image out that is producer, worker, dashboard and monitor alike: docs/containers.md.
#
#   docker build -t manyeyes .                     docker build --build-arg EXTRAS=s3,gs -t manyeyes .
#   docker run --rm manyeyes producer --help       docker run --rm manyeyes worker start --help

FROM python:3.12-slim AS dependencies
# Of pyproject.toml, separated by commas: s3, gs, http.
ARG EXTRAS=
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# What goes afterwards is never loaded here: tests, what compilers and type checkers read, all of OpenCV's cascades
# but one, Arrow's ways to S3 and Flight (fsspec reads buckets) and the copies of its library under other names, ONNX
# Runtime's tools for making models.
RUN python -m venv --without-pip /opt/manyeyes \
 && python -c 'import sys, tomllib; \
project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
extras = [line for name in sys.argv[1].split(",") if name for line in project["optional-dependencies"][name]]; \
print(*project["dependencies"], *extras, sep="\n")' "$EXTRAS" > requirements.txt \
 && pip --python /opt/manyeyes/bin/python install --no-cache-dir --no-compile -c constraints.txt -r requirements.txt \
 && cd /opt/manyeyes/lib/python3*/site-packages \
 && find . -type d -name tests -prune -exec rm -r {} + \
 && find cv2/data -name '*.xml' ! -name haarcascade_frontalface_alt2.xml -delete \
 && find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.h' -o -name '*.a' \) -delete \
 && rm -r pyarrow/include pyarrow/libarrow_flight.so.* pyarrow/_flight.* pyarrow/libarrow_s3.so.* \
    numpy/f2py numpy/distutils \
    pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.*.* \
    onnxruntime/transformers onnxruntime/quantization onnxruntime/tools

# In a layer of its own: a new line of code leaves the large one as it is, here and in every registry.
FROM dependencies AS code
COPY LICENSE README.md ./
COPY common common
COPY jobs jobs
COPY producer producer
COPY worker worker
RUN pip --python /opt/manyeyes/bin/python install --no-cache-dir --no-deps --root /code .

FROM python:3.12-slim
# Volumes begin as these folders are: /models keeps downloaded models, for whichever user a container runs as.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin manyeyes \
 && mkdir -m 1777 /models && install -d -o manyeyes -g manyeyes -m 700 /broker /flower
ENV PATH=/opt/manyeyes/bin:$PATH HOME=/tmp MANYEYES_CACHE=/models PYTHONUNBUFFERED=1
COPY --from=dependencies /opt/manyeyes /opt/manyeyes
COPY --from=code /code/opt/manyeyes /opt/manyeyes
# A run, so that an image that can do none is never built. It leaves the .pyc files of what it has loaded, Python's own
# library included, and of nothing else: a container that may not write would compile them for seconds at each start.
RUN mkdir /tmp/run && cd /tmp/run \
 && python -c 'from PIL import Image; Image.new("RGB", (64, 128)).save("one.png")' \
 && producer submit one.png && producer verify --deep && worker health --help && python -c 'import flower.command, producer.monitor.server' \
 && find /tmp -mindepth 1 -delete
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="manyeyes" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /manyeyes
USER 10001:10001
CMD ["producer", "--help"]
