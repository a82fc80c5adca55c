"""QMP: the request stream, the argument checks and the server."""
