"""Book: what the chapters need and a reader of the package does not.

`profile`, `paper`, `scorecard`, `figures`, `exercises`, `widgets`, `text`."""
