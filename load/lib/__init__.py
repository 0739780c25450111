"""What load/run, load/rivals and load/soak are made of. Python's standard library only."""
