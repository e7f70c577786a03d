"""A conformance suite for POP3 servers, over real sockets: a case for each requirement of the standards.

`python -m conformance --profile restante` (from tests/) runs it; `--help` says what else there is. A server is described by a
profile (`profiles/`): where it listens, how accounts are made and mail is put into them. The cases (`cases/`) know nothing of
the server but that.
"""
