"""Amounts of money, as every service of the shop writes them."""

import os
from decimal import Decimal


def show(amount: Decimal) -> str:
    """The amount for a person: `4.20 EUR`."""
    return f"{amount:.2f} {os.environ.get('SHOP_CURRENCY', 'EUR')}"
