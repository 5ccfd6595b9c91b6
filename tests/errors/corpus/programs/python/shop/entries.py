"""Ways to the same functions: a page, a job, a command."""

from shop import guard, pricing, users


def checkout(cart):
    """The cart's sum."""
    return sum(pricing.line_total(sku, many) for sku, many in cart)


class AdminPage:
    """What the staff sees."""

    def preview(self, sku):
        """A price on the staff's page."""
        return {"sku": sku, "price": self._price(sku)}

    def _price(self, sku):
        return pricing.unit_price(sku)


def nightly(skus):
    """Every night."""
    report = []
    for sku in skus:
        report.append(_nightly_one(sku))
    return report


def _nightly_one(sku):
    return pricing.line_total(sku, 1)


def label_of_order(number):
    """For the warehouse."""
    user = users.load_user(number)
    return users.shipping_label(user)


def labels_of_day(numbers):
    """For the warehouse, in the evening."""
    return [label_of_order(number) for number in numbers]


def reprint(user):
    """A label again."""
    return users.shipping_label(user)


def rating_of_product(stars):
    """On a product's page."""
    return pricing.average_rating(stars)


def ratings_report(products):
    """For the management."""
    return {name: round(pricing.average_rating(stars), 1) for name, stars in products.items()}


def set_quantity(quantity):
    """A cart's line."""
    guard.require(quantity < 100, "at most 99 pieces")
    return quantity


def set_coupon(code):
    """A cart's coupon."""
    guard.require(code.isupper(), "a coupon is in capitals")
    return code


def set_country(code):
    """Where to."""
    guard.require(len(code) == 2, f"country code {code!r} has not two letters")
    return code


def set_weight(grams):
    """A parcel's weight."""
    return guard.ensure_positive(grams, "weight")


def set_height(millimetres):
    """A parcel's height."""
    return guard.ensure_positive(millimetres, "height")
