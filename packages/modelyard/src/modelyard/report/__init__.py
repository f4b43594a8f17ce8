"""The run's report: reads records and plots' points, computes nothing new."""
