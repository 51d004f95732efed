# The image of a sandbox for the nodes of a cluster: with the program that is process 1 there, and with the variables of
# the image in a file, apart from those that a cluster adds to a container.
# The termination message of a pod would be a file on the node's disk that code may write; /root is closed to it.
ARG BASE
ARG HOLD
FROM ${HOLD} AS hold
FROM ${BASE}
USER 0:0
COPY --from=hold /opt/glovebox/hold /opt/glovebox/hold
COPY environment /opt/glovebox/environment
RUN chmod 0700 /root
USER 65532:65532
