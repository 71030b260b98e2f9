"""Reports: the trace of a case, as a table, in words, as a picture and as a page."""
