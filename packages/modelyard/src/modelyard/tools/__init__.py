"""The basement: one file a vendor. Its types do not leave it where a plain value serves."""
