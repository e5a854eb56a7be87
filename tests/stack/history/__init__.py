"""Reads what happened to conversations, and checks what must hold whatever happened.

(A) Every message that was answered with 200 is stored and in exactly one final job.
(B) Committed turns of a conversation never overlap, and their epochs never decrease.
(C) The order of a conversation is that of acceptance.
(D) Nothing is committed under an epoch that has passed, nothing is delivered that is not
    committed, nothing is sent again once it is recorded as sent.
(E) Everything settles in time: ``History.when_over``.
(F) Memory and queues stay within their limits (``Watch``), and what was refused was refused before
    it was accepted.
(P) The platform never gets one key with two bodies, nor two keys for one job or message.

A failed check raises an ``AssertionError`` that names its letter.
"""

from tests.stack.history.audit import install_audit
from tests.stack.history.events import Request, Verdict
from tests.stack.history.history import History
from tests.stack.history.watch import Watch

__all__ = ["History", "Request", "Verdict", "Watch", "install_audit"]
