"""The shop's database."""

import sqlite3


class Db:
    """A thin layer over sqlite3."""

    def __init__(self):
        self.raw = sqlite3.connect(":memory:")
        self.raw.executescript(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE);"
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total REAL NOT NULL, user_id INTEGER);"
        )

    def execute(self, sql, *values):
        """Run one statement."""
        return self.raw.execute(sql, values)

    def add_user(self, email):
        """A new user."""
        return self.execute("INSERT INTO users (email) VALUES (?)", email).lastrowid

    def add_order(self, total, user):
        """A new order."""
        return self.execute("INSERT INTO orders (total, user_id) VALUES (?, ?)", total, user).lastrowid

    def coupon(self, code):
        """A coupon by its code."""
        return self.execute("SELECT * FROM coupons WHERE code = ?", code).fetchone()
