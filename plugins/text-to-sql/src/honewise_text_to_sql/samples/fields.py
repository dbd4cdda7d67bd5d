"""The five sample databases: a library, a clinic, a harbour, an observatory and a bakery. All of it is invented."""

from __future__ import annotations

from .tables import Column, Database, Table

__all__ = ["FIELDS"]

_FIRST = (
    "Ada", "Bruno", "Carla", "Dario", "Edith", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kofi", "Lena", "Milan",
    "Nadia", "Oskar", "Petra", "Quentin", "Rosa", "Samir", "Tilda", "Umar", "Vera", "Wanda", "Yusuf",
)  # fmt: skip
_LAST = (
    "Abel", "Brandt", "Castro", "Dahl", "Eriksen", "Fontana", "Gruber", "Haddad", "Ivanov", "Jensen", "Keller", "Lund",
    "Moreau", "Novak", "Okoye", "Pereira", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Vogel", "Weber", "Zeman",
)  # fmt: skip
_PEOPLE = (_FIRST, _LAST)
_KEY = Column("id", "key")
_CITIES = ("Bergen", "Porto", "Lyon", "Graz")
_COUNTRIES = ("Norway", "Peru", "Japan", "Kenya", "Chile")


def _person(*special: str) -> Column:
    return Column("name", "name", special, _PEOPLE)


def _link(table: str) -> Column:
    return Column(f"{table}_id", "link", to=table)


_LIBRARY = Database(
    "library",
    (
        Table(
            "author",
            "authors",
            40,
            (
                _KEY,
                _person("Maeve O'Brien", "Jürgen Groß", "ليلى حداد", "Zoë D'Angelo"),
                Column("country", "category", _COUNTRIES),
                Column("born", "integer", low=1900, high=1995, missing=0.15),
            ),
        ),
        Table(
            "book",
            "books",
            140,
            (
                _KEY,
                Column(
                    "title",
                    "name",
                    (
                        "The Sailor's Oath",
                        'The "Last" Winter',
                        "Über den Fluss",
                        "Nobody's Garden",
                        "It's Late, Said Ruth",
                    ),
                    (
                        (
                            "Silent",
                            "Distant",
                            "Golden",
                            "Broken",
                            "Hidden",
                            "Little",
                            "Crimson",
                            "Endless",
                            "Paper",
                            "Northern",
                        ),
                        (
                            "River",
                            "Garden",
                            "Harvest",
                            "Letter",
                            "Mountain",
                            "Orchard",
                            "Window",
                            "Voyage",
                            "Bridge",
                            "Echo",
                        ),
                    ),
                ),
                _link("author"),
                Column("genre", "category", ("crime", "poetry", "history", "fantasy")),
                Column("pages", "integer", low=80, high=640, step=4, missing=0.1),
                Column("price", "real", low=4, high=40, step=0.25),
            ),
        ),
        Table(
            "member",
            "members",
            70,
            (
                _KEY,
                _person("Siobhán O'Dea", "Søren Kjær", "Renée L'Hôte"),
                Column("city", "category", _CITIES),
                Column("joined", "date", low=2015, high=2024),
                Column("fee", "real", low=5, high=60, step=2.5, missing=0.2),
            ),
        ),
        Table(
            "loan",
            "loans",
            200,
            (
                _KEY,
                _link("book"),
                _link("member"),
                Column("taken", "date", low=2022, high=2024),
                Column("returned", "date", after="taken", step=60, missing=0.25),
            ),
        ),
    ),
)

_CLINIC = Database(
    "clinic",
    (
        Table(
            "doctor",
            "doctors",
            36,
            (
                _KEY,
                _person("Noël O'Hara", "Käthe Weiß"),
                Column("field", "category", ("surgery", "heart", "skin", "eyes")),
                Column("wage", "integer", low=3000, high=9000, step=50),
                Column("hired", "date", low=2005, high=2024),
            ),
        ),
        Table(
            "patient",
            "patients",
            100,
            (
                _KEY,
                _person("נועה כהן", "Brigid O'Shea", "Tomás D'Souza"),
                Column("city", "category", _CITIES),
                Column("age", "integer", low=1, high=95),
                Column("insurer", "category", ("Helvia", "Sanus", "Medix", "Carea"), missing=0.2),
            ),
        ),
        Table(
            "visit",
            "visits",
            200,
            (
                _KEY,
                _link("patient"),
                _link("doctor"),
                Column("day", "date", low=2022, high=2024),
                Column("cost", "real", low=20, high=400, step=2.5),
                Column("note", "category", ("follow-up", "first visit", "patient's wish", "emergency"), missing=0.3),
            ),
        ),
        Table(
            "prescription",
            "prescriptions",
            150,
            (
                _KEY,
                _link("visit"),
                Column("drug", "category", ("aspirin", "insulin", "codeine", "zinc", "iodine")),
                Column("dose", "integer", low=5, high=500, step=5),
            ),
        ),
    ),
)

_HARBOUR = Database(
    "harbour",
    (
        Table(
            "ship",
            "ships",
            80,
            (
                _KEY,
                Column(
                    "name",
                    "name",
                    ("L'Étoile", "Queen's Gambit", "Würzburg", "Maid o' the Mist", 'The "Duke"'),
                    (
                        ("Blue", "Brave", "Polar", "Silver", "Swift", "Royal", "Stella", "Old", "Wild"),
                        ("Heron", "Comet", "Pearl", "Falcon", "Trader", "Spirit", "Baltic", "Dolphin", "Anchor"),
                    ),
                ),
                Column("flag", "category", ("Malta", "Panama", "Greece", "Japan")),
                Column("kind", "category", ("ferry", "barge", "yacht", "coaster")),
                Column("length", "real", low=20, high=320, step=1.5),
                Column("built", "integer", low=1970, high=2023, missing=0.12),
            ),
        ),
        Table(
            "pier",
            "piers",
            30,
            (
                _KEY,
                Column(
                    "name",
                    "name",
                    (),
                    (("North", "South", "East", "West", "Old"), ("Quay", "Dock", "Basin", "Wharf", "Jetty", "Mole")),
                ),
                Column("zone", "category", ("fuel", "fish", "grain", "cars")),
                Column("depth", "real", low=4, high=22, step=0.5),
            ),
        ),
        Table(
            "stay",
            "stays",
            200,
            (
                _KEY,
                _link("ship"),
                _link("pier"),
                Column("arrived", "date", low=2022, high=2024),
                Column("departed", "date", after="arrived", step=20, missing=0.15),
            ),
        ),
        Table(
            "cargo",
            "cargos",
            180,
            (
                _KEY,
                _link("stay"),
                Column("goods", "category", ("timber", "grain", "steel", "coffee", "salt")),
                Column("tons", "integer", low=10, high=5000, step=10),
            ),
        ),
    ),
)

_OBSERVATORY = Database(
    "observatory",
    (
        Table(
            "astronomer",
            "astronomers",
            40,
            (
                _KEY,
                _person("Caoimhe O'Neill", "Åsa Öberg", "سامي نجار"),
                Column("country", "category", _COUNTRIES),
                Column("joined", "date", low=2000, high=2024, missing=0.1),
                Column("age", "integer", low=24, high=70),
            ),
        ),
        Table(
            "telescope",
            "telescopes",
            30,
            (
                _KEY,
                Column(
                    "name",
                    "name",
                    ("Argus' Eye", "Große Linse"),
                    (
                        ("Upper", "Lower", "First", "Second", "Grand"),
                        ("Mirror", "Lens", "Array", "Dome", "Beacon", "Eye"),
                    ),
                ),
                Column("site", "category", ("desert", "island", "summit", "coast")),
                Column("mirror", "real", low=0.5, high=10, step=0.25),
                Column("opened", "integer", low=1950, high=2022),
            ),
        ),
        Table(
            "star",
            "stars",
            120,
            (
                _KEY,
                Column(
                    "name",
                    "name",
                    ("Barnum's Star", "Kepler's Lamp"),
                    (
                        ("Alpha", "Beta", "Gamma", "Delta", "Epsilon", "Zeta", "Eta", "Theta", "Kappa", "Sigma"),
                        (
                            "Corvi",
                            "Lyrae",
                            "Cygni",
                            "Hydrae",
                            "Draconis",
                            "Aquilae",
                            "Leonis",
                            "Velorum",
                            "Pavonis",
                            "Crucis",
                        ),
                    ),
                ),
                Column("colour", "category", ("red", "white", "blue", "yellow")),
                Column("brightness", "real", low=0.5, high=12, step=0.25),
                Column("distance", "integer", low=4, high=900, missing=0.12),
            ),
        ),
        Table(
            "sighting",
            "sightings",
            200,
            (
                _KEY,
                _link("star"),
                _link("telescope"),
                _link("astronomer"),
                Column("night", "date", low=2022, high=2024),
                Column("minutes", "integer", low=5, high=240, step=5),
                Column("sky", "category", ("clear", "hazy", "moon's glare"), missing=0.15),
            ),
        ),
    ),
)

_BAKERY = Database(
    "bakery",
    (
        Table(
            "product",
            "products",
            60,
            (
                _KEY,
                Column(
                    "name",
                    "name",
                    ("Baker's Dozen", "Möhrenkuchen", 'The "Big" Loaf', "Pain d'Épices", "Käsestange"),
                    (
                        ("Rye", "Honey", "Almond", "Lemon", "Poppy", "Walnut", "Spelt", "Cherry"),
                        ("Loaf", "Roll", "Tart", "Ring", "Slice", "Braid", "Twist"),
                    ),
                ),
                Column("kind", "category", ("bread", "cake", "pastry", "roll")),
                Column("price", "real", low=0.8, high=30, step=0.2),
                Column("weight", "integer", low=40, high=1500, step=10, missing=0.1),
            ),
        ),
        Table(
            "customer",
            "customers",
            80,
            (
                _KEY,
                _person("Conor O'Malley", "Çelik Aydın", "יעל לוי", "Anaïs D'Or"),
                Column("city", "category", _CITIES),
                Column("since", "date", low=2012, high=2024),
                Column("points", "integer", low=0, high=900, step=5, missing=0.15),
            ),
        ),
        Table(
            "purchase",
            "purchases",
            180,
            (
                _KEY,
                _link("customer"),
                Column("day", "date", low=2022, high=2024),
                Column("shop", "category", ("market", "station", "harbour", "mill")),
            ),
        ),
        Table(
            "item",
            "items",
            200,
            (
                _KEY,
                _link("purchase"),
                _link("product"),
                Column("amount", "integer", low=1, high=24),
                Column("discount", "integer", low=5, high=50, step=5, missing=0.5),
            ),
        ),
    ),
)

FIELDS: dict[str, Database] = {
    database.name: database for database in (_LIBRARY, _CLINIC, _HARBOUR, _OBSERVATORY, _BAKERY)
}
"""By name, in the order in which they are listed everywhere."""
