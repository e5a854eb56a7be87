"""What the product is compared with: small, and honest to what it stands for."""
