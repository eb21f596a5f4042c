# docker build -t optgate . && docker run -p 8080:8080 -v optgate:/data optgate
# Settings: /data/optgate.toml, or OPTGATE_… variables. The SQLite database is in /data as well.

FROM python:3.13-slim-trixie AS build
WORKDIR /opt/optgate
COPY dev.py ./
COPY requirements/run.txt requirements/
RUN python dev.py setup --run-only
COPY . .
# Bytecode is made here: the user below cannot write any.
RUN .venv/bin/python -m compileall -q .

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="Optgate" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/optgate /opt/optgate
RUN install -d -o 10001 -g 10001 /data
ENV PATH=/opt/optgate/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OPTGATE_SERVER__HOST=0.0.0.0 \
    OPTGATE_SERVER__PORT=8080
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
# Alive, not ready: while its database is away a gateway waits, and starting it again would not help.
HEALTHCHECK --start-period=30s --interval=15s --timeout=5s \
    CMD ["python", "-c", "import http.client, os, sys; gateway = http.client.HTTPConnection('127.0.0.1', int(os.environ['OPTGATE_SERVER__PORT']), timeout=4); gateway.request('GET', '/healthz'); sys.exit(gateway.getresponse().status != 200)"]
ENTRYPOINT ["optgate"]
CMD ["serve"]
