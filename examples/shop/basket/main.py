"""Adds up what a customer wants."""

from decimal import Decimal

from shop.money import show

from microlite import Context, Service

basket = Service("basket", doc="Adds up what a customer wants.")


@basket.endpoint(idempotent=True)
async def total(ctx: Context, products: list[str]) -> str:
    """Add up the prices of products."""
    prices = [Decimal(await ctx.call("catalog.price", product=product)) for product in products]
    return show(sum(prices, Decimal(0)))


if __name__ == "__main__":
    basket.run()
