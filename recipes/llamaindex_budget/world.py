"""A small invented world: films, people, towns, provinces and rivers, as short texts and as questions over them.

Every name is made up, so nothing can be known without searching. A question is a chain of hops; each hop asks for a
fact about what the hop before found.
"""

from dataclasses import dataclass

from llama_index.core.schema import TextNode

__all__ = ["Hop", "Question", "nodes", "questions"]

# film: year, director, town it was shot in
FILMS = {
    "Velmar Crossing": (1961, "Oda Brinnel", "Kesh"),
    "Harrow Gate": (1974, "Pell Aston", "Ilvane"),
    "The Salt Ledger": (1958, "Mirra Toll", "Dunmere"),
    "Nine Lanterns": (1983, "Corin Vash", "Tarnholm"),
    "A Quiet Weir": (1969, "Oda Brinnel", "Orrast"),
    "Copper Sunday": (1991, "Jessel Quorn", "Kesh"),
    "The Ferryman's Debt": (1977, "Mirra Toll", "Pellgrave"),
    "Winter in Orrast": (1964, "Hale Denning", "Orrast"),
    "Glass Harbour": (1988, "Sabine Orlo", "Dunmere"),
    "The Ninth Toll": (1979, "Corin Vash", "Brack"),
}
# director: town of birth, instrument played
DIRECTORS = {
    "Oda Brinnel": ("Tarnholm", "the viola"),
    "Pell Aston": ("Ilvane", "the oboe"),
    "Mirra Toll": ("Kesh", "the harp"),
    "Corin Vash": ("Pellgrave", "the bassoon"),
    "Jessel Quorn": ("Dunmere", "the cello"),
    "Hale Denning": ("Brack", "the flute"),
    "Sabine Orlo": ("Orrast", "the lute"),
}
# town: province, river, founder
TOWNS = {
    "Tarnholm": ("Sorrel", "Quell", "Abbot Wern"),
    "Ilvane": ("Sorrel", "Ister Brook", "Duke Halvar"),
    "Kesh": ("Maravel", "Lode", "Queen Isaut"),
    "Pellgrave": ("Maravel", "Quell", "the Tanners' Guild"),
    "Dunmere": ("Ostrane", "Pask", "Lady Verrin"),
    "Brack": ("Ostrane", "Lode", "Captain Joss"),
    "Orrast": ("Thessaly Marches", "Ister Brook", "Bishop Odo"),
}
# province: capital, governor
PROVINCES = {
    "Sorrel": ("Ilvane", "Tamsin Crewe"),
    "Maravel": ("Kesh", "Edric Holm"),
    "Ostrane": ("Brack", "Una Sorby"),
    "Thessaly Marches": ("Orrast", "Ivo Laskin"),
}
# river: mountain of its source, length in kilometres
RIVERS = {
    "Quell": ("Mount Ansel", 212),
    "Lode": ("Mount Brogan", 148),
    "Pask": ("the Grey Fell", 97),
    "Ister Brook": ("Mount Ansel", 41),
}
# instrument makers and other texts that share words with the questions and answer none of them
NOISE = {
    "Velmar Pass": "Velmar Pass is a mountain road that was closed in 1961 after a landslide.",
    "Brinnel Hall": "Brinnel Hall is a country house with a large garden and a collection of clocks.",
    "Aston Prize": "The Aston Prize is given every second year to a playwright under forty.",
    "Toll House": "A toll house was where travellers paid to use a bridge or a road.",
    "Quorn Stakes": "The Quorn Stakes is a horse race over two miles, run in spring.",
    "Film Archive": "The Film Archive keeps prints of films from all provinces in cold rooms.",
    "Governors' Council": "The Governors' Council meets twice a year, each time in another province.",
    "River Police": "The river police patrols harbours and locks and checks the papers of barges.",
    "Town Charters": "Town charters were granted by founders and name the rights of markets.",
    "Directors' Guild": "The Directors' Guild represents directors born in any of the provinces.",
    "Viola Makers": "Viola makers used maple and spruce, and kept their varnish a secret.",
    "Lantern Festival": "The Lantern Festival fills the quays with lights for nine evenings.",
}


@dataclass(frozen=True)
class Hop:
    """One search: the query that finds it, how the text that holds it begins, and the words that answer it."""

    query: str
    opening: str
    answer: str


@dataclass(frozen=True)
class Question:
    """A question, its hops in order, and the answer: that of the last hop."""

    text: str
    hops: tuple[Hop, ...]

    @property
    def answer(self) -> str:
        return self.hops[-1].answer


def nodes() -> list[TextNode]:
    """All texts, one node each."""
    return [TextNode(text=text, metadata={"title": title}) for title, text in _texts().items()]


def questions() -> list[Question]:
    """One hop, two hops and three, in turn."""
    made = [Question(f"Who directed the film {film}?", (_director(film),)) for film in list(FILMS)[:4]]
    for film in FILMS:
        made.append(Question(f"Where was the director of the film {film} born?", (_director(film), _birth(film))))
    for film in list(FILMS)[:6]:
        hops = (_director(film), _birth(film), _province(_birth(film).answer))
        made.append(Question(f"In which province was the director of the film {film} born?", hops))
    for film in list(FILMS)[4:]:
        shot = Hop(f"the film {film} was shot in", f"{film} is a film", FILMS[film][2])
        made.append(Question(f"On which river is the town where {film} was shot?", (shot, _river(shot.answer))))
    return made


def _director(film: str) -> Hop:
    return Hop(f"director of the film {film}", f"{film} is a film", FILMS[film][1])


def _birth(film: str) -> Hop:
    director = FILMS[film][1]
    return Hop(f"where was {director} born", f"{director} was a film director", DIRECTORS[director][0])


def _province(town: str) -> Hop:
    return Hop(f"province of the town {town}", f"{town} is a town", TOWNS[town][0])


def _river(town: str) -> Hop:
    return Hop(f"river of the town {town}", f"{town} is a town", TOWNS[town][1])


def _texts() -> dict[str, str]:
    films = {
        film: f"{film} is a film of {year} directed by {director}. It was shot in {town}."
        for film, (year, director, town) in FILMS.items()
    }
    directors = {
        name: f"{name} was a film director, born in {town}, who played {instrument}."
        for name, (town, instrument) in DIRECTORS.items()
    }
    towns = {
        town: f"{town} is a town in the province of {province}, on the river {river}. It was founded by {founder}."
        for town, (province, river, founder) in TOWNS.items()
    }
    provinces = {
        f"{name} (province)": f"{name} is a province. Its capital is {capital} and its governor is {governor}."
        for name, (capital, governor) in PROVINCES.items()
    }
    rivers = {
        f"{name} (river)": f"The river {name} rises on {source} and is {length} kilometres long."
        for name, (source, length) in RIVERS.items()
    }
    return {**films, **directors, **towns, **provinces, **rivers, **NOISE}
