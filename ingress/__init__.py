"""The HTTP face of chat-orchestrator and its command line."""
