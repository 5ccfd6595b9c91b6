"""Prices, taxes and averages."""

PRICES = {"mug": 7, "shirt": 19, "lamp": None}


def unit_price(sku):
    """The price of one piece."""
    return PRICES[sku]


def line_total(sku, quantity):
    """The price of some pieces."""
    price = unit_price(sku)
    return price * quantity


def average_rating(stars):
    """The mean of stars."""
    return sum(stars) / len(stars)


def discount(kind, value):
    """A discount's factor."""
    if kind == "percent":
        return 1 - int(value) / 100
    if kind == "voucher":
        amount, unit = value.split(":")
        return (amount, unit)
    return 1


def cheapest_first(items):
    """Items by price."""
    return sorted(items, key=lambda item: item["price"])


def totals(rows):
    """All rows' totals."""
    return [row["net"] + row["tax"] for row in rows]
