"""Configuration that hydra composes into runs of verl; see `gainful_verl.hydra_preflight`."""
