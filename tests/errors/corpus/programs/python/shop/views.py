"""Flask's pages and Jinja's templates."""

import flask
import jinja2
import yaml

from shop import pricing, users

app = flask.Flask("shop")
TEMPLATES = jinja2.Environment(
    undefined=jinja2.StrictUndefined,
    autoescape=True,
    loader=jinja2.DictLoader(
        {
            "order.html": "<p>{{ order.number }}</p>\n<p>{{ total }}</p>",
            "invoice.html": "<h1>{{ title }}</h1>\n<p>{{ customer.vat_number }}</p>",
        }
    ),
)


@app.get("/orders/<int:number>")
def order_page(number):
    """One order."""
    return show("order.html", order={"number": number})


@app.get("/invoices/<int:number>")
def invoice_page(number):
    """One invoice."""
    return show("invoice.html", title=str(number), customer={})


@app.get("/price/<sku>")
def price_page(sku):
    """One price."""
    return str(pricing.line_total(sku, 2))


@app.post("/profile")
def profile_page():
    """Somebody's birthday."""
    return str(users.parse_birthday(flask.request.form["birthday"]))


def show(name, **values):
    """A template with values."""
    return TEMPLATES.get_template(name).render(**values)


def settings(text):
    """Settings of YAML."""
    return yaml.safe_load(text)
