"""What people at a terminal see: the chat, and how far a long command has come."""
