"""Durable storage: PostgreSQL is the truth, Redis holds leases and a cache."""
