"""Scraping, the series store and PromQL."""
