# The sidecar's image: docker build -t registry.example.com/scopegate:0.1.0 .
#
# Every package comes by hash from requirements/run.lock and as a wheel, so that nothing is built here and nothing
# unhashed is fetched; scopegate itself is pure Python and is copied.
FROM python:3.11.14-slim-bookworm AS packages
COPY requirements/run.lock /tmp/run.lock
RUN python -m venv --without-pip /opt/scopegate \
    && python -m pip --python /opt/scopegate/bin/python install --no-cache-dir --no-deps \
        --only-binary :all: --require-hashes -r /tmp/run.lock
COPY sidecar /opt/scopegate/lib/python3.11/site-packages/sidecar
RUN /opt/scopegate/bin/python -m compileall -q /opt/scopegate/lib/python3.11/site-packages

FROM python:3.11.14-slim-bookworm
COPY --from=packages /opt/scopegate /opt/scopegate
COPY LICENSE /opt/scopegate/LICENSE
# By number: runAsNonRoot cannot tell what a name stands for.
USER 10001:10001
WORKDIR /run
# Isolated (-I): nothing from the environment or the working directory is imported.
ENTRYPOINT ["/opt/scopegate/bin/python", "-I", "-m", "sidecar"]
CMD ["--help"]
