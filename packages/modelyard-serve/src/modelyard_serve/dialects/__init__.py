"""Four dialects over one model: each turns a call into a matrix, and a prediction into an answer.

A dialect is a function `(Served, Call) -> Answer`. It knows no Flask and no socket, and raises
`ServeError`s; how an error looks on the wire is the dialect's too (`problem` of its module).
"""

from modelyard_serve.dialects.call import Answer, Call

__all__ = ["Answer", "Call"]
