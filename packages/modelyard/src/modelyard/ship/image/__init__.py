"""image: from the champion's package to a container image that was looked into."""
