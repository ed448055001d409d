"""The upstream: a process that plays the external API and the object store of the lessons, with delays that are known.

Run as `python -m requestlab.serving.upstream FD`; in the lab, `serve(UPSTREAM)` does so. It runs on the load client's
core, so that it takes nothing from the server that calls it.

    GET /api/?ms=50                   an answer after so many ms; see `api` for what else may be asked for
    PUT /objects/BUCKET/NAME?ms=1     keeps the body and answers with its CRC-32
    GET /objects/BUCKET/NAME          the bytes
    GET /objects/BUCKET/              how many, how many bytes, and one checksum of all; /objects/ for all buckets
    DELETE /objects/BUCKET/           empties it; /objects/ all of them
    GET /statistics/                  its own statistics; POST resets the most at once
"""
