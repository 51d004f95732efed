# The control plane. BASE is node:24-slim, or the base of Debian packages that `npm run image:control-plane` makes
# where no registry answers. Only what the legacy builder knows: it is the one that every engine has.
ARG BASE=node:24-slim
FROM ${BASE} AS build
# What leads to the package registry (access/npmrc, access/ca.crt: both optional) stays in this stage.
LABEL glovebox.build=$BUILD
USER 0:0
WORKDIR /build
COPY package.json package-lock.json tsconfig.json tsconfig.build.json ./
COPY dashboard/package.json dashboard/package-lock.json dashboard/
COPY scripts/setup.mjs scripts/write-sbom.mjs scripts/
COPY package.json acces[s] access/
ENV NPM_CONFIG_IGNORE_SCRIPTS=true NPM_CONFIG_UPDATE_NOTIFIER=false \
    NPM_CONFIG_USERCONFIG=/build/access/npmrc NODE_EXTRA_CA_CERTS=/build/access/ca.crt
RUN set -eu; \
    touch access/npmrc access/ca.crt; \
    node scripts/setup.mjs --no-build; \
    node scripts/write-sbom.mjs sbom.cdx.json; \
    cp -R node_modules all_modules; \
    npm prune --omit=dev --no-audit --no-fund --loglevel=error; \
    mv node_modules production_modules; \
    mv all_modules node_modules
COPY src src
COPY dashboard dashboard
COPY sandbox-image sandbox-image
# One time for all files, so that two builds of the same sources are the same.
RUN set -eu; \
    node_modules/.bin/tsc -p tsconfig.build.json --declaration false; \
    npm run build --prefix dashboard; \
    rm -rf sandbox-image/tests production_modules/.package-lock.json; \
    find production_modules -type d -empty -delete; \
    mkdir /app; \
    mv package.json sbom.cdx.json dist sandbox-image /app/; \
    mv production_modules /app/node_modules; \
    chmod -R a+rX,go-w /app; \
    chmod a+x /app/dist/cli.js; \
    find /app -exec touch --no-dereference --date=@0 {} +

FROM ${BASE}
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="Glovebox" \
      org.opencontainers.image.description="The control plane of a sandbox manager for untrusted Python, over MCP and REST" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 0:0
# Named volumes take the owner of what they cover. The marker says where advice to "start it like this" applies.
RUN set -eu; \
    echo 'glovebox:x:65532:65532::/var/lib/glovebox:/usr/sbin/nologin' >> /etc/passwd; \
    echo 'glovebox:x:65532:' >> /etc/group; \
    touch /etc/glovebox-image; \
    ln -s /app/dist/cli.js /usr/local/bin/glovebox; \
    mkdir -p /var/lib/glovebox /var/cache/glovebox /run/glovebox; \
    chown 65532:65532 /var/lib/glovebox /var/cache/glovebox /run/glovebox
COPY --from=build /app /app
ENV NODE_ENV=production \
    HOME=/var/lib/glovebox \
    GLOVEBOX_STATE_DIR=/var/lib/glovebox \
    GLOVEBOX_CACHE_DIR=/var/cache/glovebox \
    GLOVEBOX_SETUP=never \
    GLOVEBOX_HOST=0.0.0.0 \
    GLOVEBOX_ALSO_PORTS=8055 \
    GLOVEBOX_AUTH=keys \
    GLOVEBOX_FIRST_KEY=default
# It begins as root to look which group the engine's socket belongs to, and goes on as 65532: src/commands/leave-root.ts.
USER 0:0
WORKDIR /app
EXPOSE 8000 8055
STOPSIGNAL SIGTERM
# Fails where nobody outside could reach the server: src/commands/health-check.ts.
HEALTHCHECK --interval=30s --timeout=10s --start-period=300s --retries=3 \
    CMD ["node", "/app/dist/commands/health-check.js"]
ENTRYPOINT ["node", "--max-semi-space-size=4", "/app/dist/cli.js"]
CMD ["serve"]
