"""Tables: reading, typing, schema, quality, and what differs between two of them."""
