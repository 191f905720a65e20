"""Adapter for verl, which loads `gainful_verl.autoload` by itself. Importing this package imports nothing else."""
