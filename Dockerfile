FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p readside -p readside-shop

FROM debian:bookworm-slim
RUN useradd --system --create-home --home-dir /var/lib/readside readside
COPY --from=build /src/target/release/readside /src/target/release/shop /usr/local/bin/
USER readside
WORKDIR /var/lib/readside
EXPOSE 7377
CMD ["readside", "run"]
