"""How arguments and results are held against annotations while the tests run."""

from beartype import BeartypeConf, beartype

# An int is a float where a float is asked for, as in PEP 484.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
