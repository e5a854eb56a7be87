"""Places in the product's code at which a test can stop or kill the process that comes by.

Nothing of it stands in the product: ``startup/sitecustomize.py`` is on the ``PYTHONPATH`` of the
processes of a server under test, and patches the functions named in ``places.py`` when their
modules are imported. ``mutations.py`` takes guards out, to see whether that is noticed.

This package is imported by every process of the server as Python starts, so only what
``hooks.py`` imports may be imported here, and that is the standard library.
"""
