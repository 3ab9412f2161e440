# attnd and attn on Debian 13: built in one stage, run in another that holds the libraries they load and nothing else.
#
#   docker build -t attnd .
#   docker run --read-only -p 50051:50051 -p 9464:9464 -v "$PWD/model:/models/mine:ro" attnd --model mine=/models/mine
#
# Behind a proxy with an authority of its own, or with a package mirror, three optional secrets help the build and stay out
# of the image: ca (certificates, PEM), apt (a file of apt settings), cargo (cargo's config.toml):
#   docker build --secret id=ca,src=/etc/ssl/certs/ca-certificates.crt -t attnd .
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
COPY .ci/packages /src/.ci/packages
RUN --mount=type=secret,id=apt \
    if [ -s /run/secrets/apt ]; then export APT_CONFIG=/run/secrets/apt; fi && \
    apt-get update -qq && \
    sed '/^# Beyond the build/q' /src/.ci/packages | grep -v '^#' | \
      DEBIAN_FRONTEND=noninteractive xargs apt-get install -y -qq --no-install-recommends && \
    rm -rf /var/lib/apt/lists/*
COPY . /src/
# Stripped, and beside them the names of the Debian packages whose libraries they load.
RUN --mount=type=secret,id=ca --mount=type=secret,id=cargo --mount=type=cache,target=/cache \
    if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca CARGO_HTTP_CAINFO=/run/secrets/ca; fi && \
    export CARGO_HOME=/cache/cargo CCACHE_DIR=/cache/ccache && mkdir -p "$CARGO_HOME" && \
    if [ -s /run/secrets/cargo ]; then export CARGO_HOME=/tmp/cargo && mkdir -p /tmp/cargo && cp /run/secrets/cargo /tmp/cargo/config.toml; fi && \
    cd /src && cmake --preset release -DATTND_BUILD_TESTS=OFF -DATTND_BUILD_BENCH=OFF && \
    ninja -C build/release attnd attn && \
    mkdir /out && cd /src/build/release/bin && strip -o /out/attnd attnd && strip -o /out/attn attn && \
    ldd attnd attn | awk '$3 ~ /^\// {print $3}' | sort -u | xargs realpath | xargs dpkg-query -S | cut -d: -f1 | sort -u \
      >/out/packages && cat /out/packages

FROM ${BASE}
COPY --from=build /out/packages /usr/share/attnd/packages
RUN --mount=type=secret,id=apt \
    if [ -s /run/secrets/apt ]; then export APT_CONFIG=/run/secrets/apt; fi && \
    apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive xargs apt-get install -y -qq --no-install-recommends </usr/share/attnd/packages && \
    apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/* /var/lib/dpkg/*-old && \
    mkdir /models
COPY --from=build /out/attnd /out/attn /usr/local/bin/
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="attnd" \
      org.opencontainers.image.description="Transformer inference over gRPC on CPUs, with the attention maps" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="debian:trixie-slim"
# Inside a container the port is reached from outside. Models: ATTND_MODEL=NAME=/models/FOLDER[;NAME=...], or --model.
ENV ATTND_LISTEN=0.0.0.0:50051 \
    ATTND_METRICS_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["attn", "health"]
ENTRYPOINT ["attnd"]
