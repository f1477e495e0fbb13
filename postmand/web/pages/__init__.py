"""The pages, by room. Each room adds its own to the site."""
