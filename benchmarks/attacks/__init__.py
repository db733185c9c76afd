"""What a hostile user would hand in: changed bundles and broken models, and the processes that take them."""
