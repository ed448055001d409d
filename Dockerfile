# The lab in a container, for Docker on macOS, Windows and Linux: see docs/run/docker.md.
FROM python:3.11-slim-bookworm

# make and git set it up; hey and nginx are asked where a lesson compares with them.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make git hey nginx-light \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home learner
WORKDIR /home/learner/requestlab
COPY --chown=learner . .
RUN chown learner .
USER learner
RUN make .venv

# JupyterLab asks for the token that it prints. The port is to be published on the host's loopback address only.
EXPOSE 8888
CMD [".venv/bin/requestlab", "lab", "--", "--ServerApp.ip=0.0.0.0", "--ServerApp.port=8888", "--no-browser"]
