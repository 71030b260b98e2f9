"""Reports of a case: its trace, as a table, in words, as a picture and as a page."""
