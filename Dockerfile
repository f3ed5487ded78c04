# insula in a container: no network at run time, a read-only root, no root user; weights and page inside.
#
# docker build -t insula .
# docker run --rm --read-only --tmpfs /tmp --network none -v "$PWD:/data" --user "$(id -u)" insula segment /data/scan.nii.gz --out /data/results
#
# For ISLES'26: docker build --target isles2026 -t insula-isles2026 .   (docs/how-to/challenge.md)
#
# A CPU-only torch makes the image several gigabytes smaller: --build-arg PIP_EXTRA_INDEX_URL=<the index of torch's CPU builds>

FROM python:3.12-slim AS build
ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/insula
WORKDIR /source
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN /opt/insula/bin/python -m pip install --constraint constraints.txt '.[dicom,serve]'

FROM python:3.12-slim AS insula
LABEL org.opencontainers.image.title="insula" \
      org.opencontainers.image.description="Stroke lesion segmentation on T1-weighted MRI. For research only; not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/insula /opt/insula
RUN useradd --uid 10001 --create-home insula
ENV PATH=/opt/insula/bin:$PATH HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 8080 11112
ENTRYPOINT ["insula"]
CMD ["--help"]

FROM insula AS isles2026
# the platform recognises the protocol by this label
LABEL org.grand-challenge.api-method="invoke"
EXPOSE 4743
CMD ["challenge", "--host", "0.0.0.0"]

FROM insula
