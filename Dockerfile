# syntax=docker/dockerfile:1
# One static program, run by nobody, and the built-in policies; no shell, no libraries, nothing else.
#
#   docker build --tag registry.example.org/portcullis:0.1.0 .
#
# Built for the architecture it is built on (x86_64, aarch64), or that --platform names.

FROM rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
# glibc inside of the program: with musl's allocator reviews took 1.7 times as long at the median, and
# seven times the time in the kernel (the built-in policies, one Deployment).
ENV RUSTFLAGS="-C target-feature=+crt-static"
# With a target, flags are for the program alone, not for what runs while it is built.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,id=portcullis-$TARGETARCH \
    target="$(uname -m)-unknown-linux-gnu" \
    && cargo build --release --locked --bin portcullis --target "$target" \
    && mkdir -p /out/usr/share/portcullis \
    && cp "target/$target/release/portcullis" /out/portcullis \
    && find policies -name '*.cel' -exec cp --parents {} /out/usr/share/portcullis \; \
    && cp LICENSE /out/usr/share/portcullis/

FROM scratch
LABEL org.opencontainers.image.title="Portcullis" \
      org.opencontainers.image.description="Policy-as-code admission webhook for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/ /
# Nobody's number, as other images without a distribution have it; there is no /etc/passwd with names.
USER 65532:65532
EXPOSE 8443 9090
ENTRYPOINT ["/portcullis"]
CMD ["serve", "--listen", ":8443", "--admin-listen", ":9090"]
