"""What the routes call for messages and jobs."""

from __future__ import annotations

from typing import Any

from ingress.background_jobs import BackgroundJobManager
from ingress.chat_flow import ChatFlow
from ingress.enhanced_flow import EnhancedFlow
from ingress.schemas import EnhancedMessageRequest, PancakeMessageRequest

__all__ = ["MessageHandler"]


class MessageHandler:
    """The one door to message processing, for both generations of the API."""

    def __init__(self, enhanced: EnhancedFlow, chat: ChatFlow, jobs: BackgroundJobManager) -> None:
        self._enhanced = enhanced
        self._chat = chat
        self._jobs = jobs

    async def handle_message_request(
        self,
        request: EnhancedMessageRequest | PancakeMessageRequest,
        *,
        arrived_at: float,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Store a message and answer it as its generation does. ``arrived_at`` is monotonic.

        Raises ``ValidationFailed``, ``StorageUnavailable`` or ``Overloaded``.
        """
        if isinstance(request, EnhancedMessageRequest):
            return await self._enhanced.handle(request, arrived_at)
        return await self._chat.handle(request, idempotency_key)

    async def get_job_status(self, job_id: str) -> dict[str, Any]:
        """Return a job. Raises ``NotFound`` or ``DatabaseUnavailable``."""
        return await self._jobs.get_job_status(job_id)

    async def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Cancel a job if it can be. Raises ``NotFound`` or ``DatabaseUnavailable``."""
        return await self._jobs.cancel_job(job_id)
