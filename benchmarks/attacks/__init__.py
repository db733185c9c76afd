"""Input of a hostile user: tampered bundles and broken models, and the processes that open them."""
