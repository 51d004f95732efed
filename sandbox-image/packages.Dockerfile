# BASE with the packages of a variant's requirements, and with small tools for commands. They are fetched in stages of
# their own: the credentials, certificates and proxies that lead to the index and to mirrors stay in these, and they are
# removed by their label when the build ends.
ARG BASE
FROM ${BASE} AS fetch
LABEL glovebox.build=$BUILD
USER 0:0
# Before anything is fetched for it: src/engines/docker/images/base-python.ts tells what the base has.
RUN set -eu; \
    refuse() { echo "UNFIT: $1"; exit 1; }; \
    command -v python3 || refuse 'has no python3'; \
    python3 -Ic 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 15))' \
        || refuse "has Python $(python3 -Ic 'import platform; print(platform.python_version())')"; \
    python3 -Ic 'import pip' || refuse 'has no pip'
WORKDIR /fetch
COPY requirements-*.txt ./
COPY prepare prepare
COPY access access
RUN set -eu; \
    cat /etc/ssl/certs/ca-certificates.crt access/ca.crt > ca.crt || cp access/ca.crt ca.crt; \
    [ ! -s ca.crt ] || export PIP_CERT=/fetch/ca.crt; \
    PIP_CONFIG_FILE=/fetch/access/pip.conf python3 -m pip install --root=/packages --requirement=requirements-variant.txt \
        --only-binary=:all: --no-binary=odfpy --ignore-installed --break-system-packages --root-user-action=ignore \
        --no-compile --no-cache-dir --no-warn-script-location --disable-pip-version-check --progress-bar=off; \
    python3 -IB prepare /packages

FROM ${BASE} AS tools
LABEL glovebox.build=$BUILD
USER 0:0
WORKDIR /fetch
COPY debian-variant.txt install-tools.sh ./
COPY access access
RUN sh install-tools.sh debian-variant.txt /tools access

FROM ${BASE}
COPY --from=tools /tools/ /
COPY --from=fetch /packages/ /
COPY pip.conf /etc/pip.conf
COPY uv.toml /etc/uv/uv.toml
# Plots are drawn to memory; what matplotlib wants to keep between runs goes where it can be written.
ENV MPLBACKEND=Agg MPLCONFIGDIR=/tmp/matplotlib
