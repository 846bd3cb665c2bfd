# The server alone: it is linked statically, and needs no system files. `make image` and `make release` put the files in
# place; nothing is downloaded or run here, so any builder will do, without a daemon or a network.
FROM scratch
ARG TARGETARCH
LABEL org.opencontainers.image.title="replica-count-manager" \
      org.opencontainers.image.description="Keeps Kubernetes replica counts where they were set, and says who tried to change them" \
      org.opencontainers.image.licenses="Apache-2.0"
# The modes of the files in a clone depend on the umask.
COPY --chmod=644 LICENSE dist/licenses/replica-count-manager/THIRD-PARTY-LICENSES.txt /
COPY dist/bin/linux-${TARGETARCH}/replica-count-manager /replica-count-manager
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/replica-count-manager"]
