"""What this design costs and what it buys, measured on this machine: ``python -m benchmarks``.

A measurement is a function that takes a ``Run`` and returns an ``Outcome``; a ``Measurement``
gives it a name. To plug one in, add it to ``MEASUREMENTS`` in ``benchmarks/measurements.py`` (or,
for a component by itself, in ``benchmarks/parts/__init__.py``):

    def measure(run: Run) -> Outcome:
        outcome = Outcome()
        run.say("rows through the writer")
        outcome.results.append(Result("writer / unnest", 0.7, "×", low=0.68, high=0.71, least=0.6))
        outcome.tables.append(Table("Rows a second", ("way", "rows/s"), [("writer", "41,000")]))
        return outcome

    MEASUREMENTS = (Measurement("writer", "the writer against raw unnest", measure),)

``run.rounds`` and ``run.seconds`` say how often and how long to measure (fewer and shorter with
``--quick``), ``run.folder(name)`` gives an empty folder that PostgreSQL may use, ``run.say`` shows
progress. What a measurement starts, it stops, also when it is interrupted (``KeyboardInterrupt``):
use ``with``. The benchmarks import the product; the product never imports them.
"""
