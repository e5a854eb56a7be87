"""A simulated cluster on a virtual clock: real actors, everything else simulated from one seed."""
