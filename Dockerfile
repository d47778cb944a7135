# One image for each program: the server (target edge, the default), the
# terminal client (chat) and the load generator (loadtest). Each holds one static
# file and runs as nobody; the root may be read-only.
#
#   docker build -t aristochat/edge:dev .
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v1.2.3 --build-arg COMMIT=$(git rev-parse HEAD) .

ARG GO=1.26

# On the builder's own platform: Go compiles for the others.
FROM --platform=$BUILDPLATFORM golang:${GO}-bookworm AS source
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ENV CGO_ENABLED=0 GOFLAGS="-buildvcs=false -trimpath"
ARG TARGETOS TARGETARCH
ARG VERSION COMMIT
ENV GOOS=$TARGETOS GOARCH=$TARGETARCH PKG=github.com/aristochat/aristochat/internal/command
ENV LDFLAGS="-s -w -X ${PKG}.version=${VERSION} -X ${PKG}.commit=${COMMIT}"

FROM source AS build-chat
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags "$LDFLAGS" -o /out/ ./cmd/chat

FROM source AS build-loadtest
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags "$LDFLAGS" -o /out/ ./cmd/loadtest

# A volume on /out/data is given its owner: nobody may write there then.
FROM source AS build-edge
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    go build -ldflags "$LDFLAGS" -o /out/ ./cmd/edge && mkdir /out/data

FROM gcr.io/distroless/static-debian12:nonroot AS static
USER 65532:65532
ARG VERSION COMMIT
LABEL org.opencontainers.image.source="https://github.com/aristochat/aristochat" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}"

FROM static AS chat
LABEL org.opencontainers.image.title="aristochat chat" \
      org.opencontainers.image.description="Terminal client"
COPY --from=build-chat /out/chat /chat
ENTRYPOINT ["/chat"]

FROM static AS loadtest
LABEL org.opencontainers.image.title="aristochat loadtest" \
      org.opencontainers.image.description="Load generator"
COPY --from=build-loadtest /out/loadtest /loadtest
ENTRYPOINT ["/loadtest"]

FROM static AS edge
LABEL org.opencontainers.image.title="aristochat edge" \
      org.opencontainers.image.description="Chat server for Phoenix clients"
COPY --from=build-edge /out/edge /edge
# Where an edge without --nats keeps its data: --data's default, seen from here.
COPY --from=build-edge --chown=65532:65532 /out/data /home/nonroot/aristochat-data
WORKDIR /home/nonroot
EXPOSE 4000 9464
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["/edge", "health"]
ENTRYPOINT ["/edge"]
