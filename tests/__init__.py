"""The tests, in folders that mirror the package; `support` has their shared helpers."""
