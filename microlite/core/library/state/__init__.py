"""The state of a service, as its handlers use it: `ctx.store` and its like. Loaded when first used."""
