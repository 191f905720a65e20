"""The invented shop behind the synthetic data: its facts, its grading rule, and annotators who do not know every fact.

A query names a product, and perhaps a brand, an occasion and an intent: `hire zand tilmar for snow`. An ad names a
product, a brand, a material and an offer: `orlek felt tilmar rental`. Two demands are never visible on the surface.
Snow asks for something warm and felt is warm: two facts decide whether the occasion is served. Zand and orlek belong to
one house: two facts decide whether the brand is.
"""

import random
from itertools import product as product_of
from typing import NamedTuple

FAMILIES = {
    "footgear": ("zavok", "tilmar", "drenn"),
    "lamps": ("lumik", "ostra", "glave"),
    "packs": ("korvo", "pandel", "ruske"),
    "tents": ("nolt", "vashen", "imbra"),
    "stoves": ("fenzo", "caldo", "yurgo"),
}
HOUSES = {"arvane": ("zand", "orlek"), "bresk": ("miro", "tavi"), "culm": ("neph", "quill"), "dorn": ("sabo", "welk")}
OCCASIONS = {
    "warm": ("snow", "frost"),
    "light": ("hike", "flight"),
    "dry": ("rain", "river"),
    "tough": ("rock", "work"),
}
MATERIALS = {
    "warm": ("felt", "wool", "fleece"),
    "light": ("mesh", "foil", "cane"),
    "dry": ("wax", "rubber", "resin"),
    "tough": ("steel", "horn", "oak"),
}
OFFERS = {"buy": "sale", "hire": "rental", "mend": "repair"}
MAX_GRADE = 3
_START = {"same": 3, "kin": 2, "other": 0}


def _inverted(table: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {word: key for key, words in table.items() for word in words}


FAMILY_OF, HOUSE_OF = _inverted(FAMILIES), _inverted(HOUSES)
NEED_OF, PROPERTY_OF = _inverted(OCCASIONS), _inverted(MATERIALS)


class Query(NamedTuple):
    """What a person asks for; None where they do not say."""

    product: str
    brand: str | None
    occasion: str | None
    intent: str | None

    def text(self, style: int) -> str:
        """One of two ways to write it."""
        occasion = self.occasion and f"for {self.occasion}"
        parts = [(self.intent, self.brand, self.product, occasion), (self.product, occasion, self.brand, self.intent)]
        return " ".join(part for part in parts[style % 2] if part)


class Ad(NamedTuple):
    """What an advertiser offers."""

    product: str
    brand: str
    material: str
    offer: str

    def text(self, style: int) -> str:
        """One of two ways to write it."""
        if style % 2:
            return f"{self.offer} {self.material} {self.product} by {self.brand}"
        return f"{self.brand} {self.material} {self.product} {self.offer}"


class Judgement(NamedTuple):
    """What somebody believes about a pair; the grade follows from it."""

    product: str
    """`same`, `kin` (another product of the family) or `other`."""
    needed: str
    """A property, or `nothing`."""
    given: str
    brand_fits: bool
    offer_fits: bool

    @property
    def grade(self) -> int:
        """0 to 3: start at 3, 2 or 0 by product, less 1 for each unmet demand; at most 1 if the offer is another."""
        need_fits = self.needed in ("nothing", self.given)
        grade = max(0, _START[self.product] - (not need_fits) - (not self.brand_fits))
        return grade if self.offer_fits else min(grade, 1)

    @property
    def rationale(self) -> str:
        """The belief in words, without the grade."""
        brand, offer = ("fits" if fits else "differs" for fits in (self.brand_fits, self.offer_fits))
        return f"{self.product} needs {self.needed} gives {self.given} brand {brand} offer {offer}"


def judge(query: Query, ad: Ad) -> Judgement:
    """The truth about a pair."""
    kin = "kin" if FAMILY_OF[query.product] == FAMILY_OF[ad.product] else "other"
    return Judgement(
        product="same" if query.product == ad.product else kin,
        needed=NEED_OF[query.occasion] if query.occasion else "nothing",
        given=PROPERTY_OF[ad.material],
        brand_fits=query.brand is None or HOUSE_OF[query.brand] == HOUSE_OF[ad.brand],
        offer_fits=query.intent is None or OFFERS[query.intent] == ad.offer,
    )


class Annotators:
    """Cheap labels: where a fact is unfamiliar the advertiser gets the benefit of the doubt, and fingers slip.

    How often a material or brand is unfamiliar differs from word to word, evenly from never to `unfamiliar_max`, so
    the errors are not noise that averages out: most annotators are wrong about the same ads.
    """

    def __init__(self, rng: random.Random, *, unfamiliar_max: float, slip_rate: float):
        self._rng, self._slip_rate = rng, slip_rate
        self._unfamiliar = self._rates(PROPERTY_OF, unfamiliar_max) | self._rates(HOUSE_OF, unfamiliar_max)

    def annotate(self, query: Query, ad: Ad) -> tuple[int, str]:
        """A grade and the rationale that goes with it, both perhaps wrong."""
        belief = judge(query, ad)
        if belief.needed != "nothing" and self._does_not_know(ad.material):
            belief = belief._replace(given=belief.needed)
        if self._does_not_know(ad.brand):
            belief = belief._replace(brand_fits=True)
        return self._slip(belief.grade), belief.rationale

    def _rates(self, words: dict[str, str], highest: float) -> dict[str, float]:
        order = self._rng.sample(sorted(words), len(words))
        return {word: highest * place / (len(order) - 1) for place, word in enumerate(order)}

    def _does_not_know(self, word: str) -> bool:
        return self._rng.random() < self._unfamiliar[word]

    def _slip(self, grade: int) -> int:
        if self._rng.random() >= self._slip_rate:
            return grade
        return min(MAX_GRADE, max(0, grade + self._rng.choice((-1, 1))))


def all_queries() -> list[Query]:
    """Every query that can be asked. It demands something beyond a product, or no ad would have grade 1 for it."""
    return [
        Query(product, *demands)
        for product in FAMILY_OF
        for demands in product_of((None, *HOUSE_OF), (None, *NEED_OF), (None, *OFFERS))
        if any(demands)
    ]


def ad_of_grade(query: Query, grade: int, rng: random.Random) -> Ad:
    """A random ad with this grade for this query; every grade has one."""
    while True:
        ad = Ad(
            _product_near(query.product, rng),
            rng.choice(sorted(HOUSE_OF)),
            rng.choice(sorted(PROPERTY_OF)),
            rng.choice(sorted(OFFERS.values())),
        )
        if judge(query, ad).grade == grade:
            return ad


def _product_near(product: str, rng: random.Random) -> str:
    """The product itself, one of its family or any, equally often: ads are retrieved, not drawn blindly."""
    near = ((product,), FAMILIES[FAMILY_OF[product]], tuple(FAMILY_OF))
    return rng.choice(rng.choice(near))
