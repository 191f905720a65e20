"""English word lists behind the features. Ours; no data set was read for them."""

__all__ = [
    "ARTICLES",
    "AUXILIARIES",
    "COMPARISON",
    "CONNECTIVES",
    "FUNCTION_WORDS",
    "MONTHS",
    "NESTING",
    "PREDICATES",
    "TITLES",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = _words("a an the")

FUNCTION_WORDS = ARTICLES | _words("""
    about after all also and any are as at be been before being both but by can could did do does during each for from
    had has have he her his how i if in into is it its just may more most much of on one or other our out over she so
    some such than that their them then there these they this those through to under up was we were what when where
    which while who whom whose why will with would you your
""")

AUXILIARIES = _words("""
    is are was were do does did has have had can could will would should isn aren wasn weren don doesn didn
""")

COMPARISON = _words("""
    both same either earlier later older younger first longer shorter larger smaller bigger taller higher lower more
    fewer less between common also
""")

NESTING = _words("of whose that who which where")

PREDICATES = _words("""
    is are was were do does did has have had born died directed wrote written won married founded located released
    starred played created named produced composed performed
""")

CONNECTIVES = _words("of the de la le von van der den du da di del al bin ibn y")
"""May stand inside a name."""

TITLES = _words("Jr Sr Dr St Mr Mrs Ms")
"""Their full stop ends no sentence."""

MONTHS = _words("january february march april may june july august september october november december")
