# Builds the image with a container builder, for the architecture of the builder (amd64 and arm64); image/build makes the same image without
# one. For both at once: docker buildx build --platform linux/amd64,linux/arm64 (not run by the tests, which build amd64 only).
FROM rust:1.95-slim-bookworm AS build
WORKDIR /paylab
COPY . .
# Statically linked, because the image has no libraries. With --target, RUSTFLAGS do not apply to build scripts and proc macros.
RUN target=$(rustc -vV | sed -n 's/^host: //p') \
    && apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev \
    && RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=/usr/local/cargo=/cargo" \
        cargo build --release --locked --package paylab --target "$target" \
    && install -D "target/$target/release/paylab" /image/paylab \
    && install --directory --mode 1777 /image/tmp

FROM scratch
LABEL org.opencontainers.image.title="paylab" \
      org.opencontainers.image.description="Proves with evidence whether a payment path loses money or pays twice" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /image/ /
USER 65532:65532
ENTRYPOINT ["/paylab"]
# As in Toxiproxy's image, so that this image can replace that one.
CMD ["-host=0.0.0.0"]
