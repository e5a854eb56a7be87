"""The endpoints, one noun a file: each has a function that makes its routes."""
