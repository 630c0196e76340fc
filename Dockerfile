# Two images from one build: `readside`, and `shop` for the example.
#
#     docker build --target readside --tag readside .

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# What was compiled stays in the builder's cache, so the programs are copied out of it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked -p readside -p readside-shop \
    && mkdir /out \
    && cp target/release/readside target/release/shop /out/

FROM debian:bookworm-slim AS base
# A number, so that who runs it can see that it isn't root.
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/readside readside
USER 10001:10001
WORKDIR /var/lib/readside

FROM base AS shop
COPY --from=build /out/shop /usr/local/bin/
ENTRYPOINT ["shop"]

FROM base AS readside
COPY --from=build /out/readside /usr/local/bin/
EXPOSE 7377
ENTRYPOINT ["readside"]
CMD ["run"]
