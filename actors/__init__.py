"""The actor runtime: conversations, the hosts they live in, and the supervisor."""
