"""What there is to buy."""

import os
from decimal import Decimal

from shop.money import show

from microlite import Service, errors

PRICES = {"tea": Decimal("4.20"), "honey": Decimal("6.90"), "bread": Decimal("3.80")}

catalog = Service("catalog", doc="What there is to buy.")


@catalog.endpoint(idempotent=True)
async def price(product: str) -> Decimal:
    """Look up a price."""
    if product not in PRICES:
        raise errors.NotFound(f"there is no {product!r}; there are {', '.join(PRICES)}")
    discount = Decimal(os.environ.get("CATALOG_DISCOUNT", "0")) / 100
    return round(PRICES[product] * (1 - discount), 2)


@catalog.endpoint(idempotent=True)
async def products() -> dict[str, str]:
    """List all products with their prices."""
    return {product: show(await price(product)) for product in PRICES}


if __name__ == "__main__":
    catalog.run()
