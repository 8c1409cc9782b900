"""Does it fit, and how fast will it be: predictions, and the measurements that check them."""
